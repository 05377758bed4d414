import type { Options, PostgresType } from 'postgres';

/** postgres.js would send the other parameters of a URL to the server, and cannot verify an IP address. */
export function withoutParameters<O extends Options<Record<string, PostgresType>>>(url: string, options: O) {
  const { search, searchParams } = new URL(url);
  const ssl = searchParams.get('sslmode') === 'disable' ? (false as const) : ('require' as const);
  return [url.replace(search, ''), { ...options, ssl }] as const;
}
