/** The other keywords that are shown. None of them holds a secret. */
const parameters = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'];

/**
 * Translates `host=localhost dbname=shop` to a URL, with a placeholder for the password. Undefined: it cannot be parsed.
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
 */
export function urlOfKeywords(text: string): string | undefined {
  const values = new Map<string, string>();
  const pair = /\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s|$)/gy;
  let end = 0;
  for (let found = pair.exec(text); found !== null && found[0] !== ''; found = pair.exec(text)) {
    end = pair.lastIndex;
    if (values.has(found[1]!)) return undefined; // it may be part of a password that should have been quoted
    values.set(found[1]!, (found[2] ?? found[3] ?? '').replaceAll(/\\(.)/g, '$1'));
  }
  if (text.slice(end).trim() !== '') return undefined;
  // A connection string where a name belongs.
  if (['host', 'hostaddr', 'user', 'dbname'].some((keyword) => /:\/\/|:.*@|=/s.test(values.get(keyword) ?? '')))
    return undefined;
  const part = (keyword: string) => encodeURIComponent(values.get(keyword) ?? '');
  const password = values.has('password') || values.has('passfile') ? ':PASSWORD' : '';
  const user = values.has('user') || password ? `${part('user')}${password}@` : '';
  const host = values.has('host') ? part('host') : part('hostaddr');
  const port = values.has('port') ? `:${part('port')}` : '';
  const query = parameters
    .filter((keyword) => values.has(keyword))
    .map((keyword) => `${keyword}=${part(keyword)}`)
    .join('&');
  return `postgres://${user}${host}${port}/${part('dbname')}${query && `?${query}`}`;
}
