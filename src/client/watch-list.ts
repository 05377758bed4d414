import type { Entry } from './told.ts';

/** The list of subscriptions in a request. The answer refers to their positions in this list. */
export const placesOf = (entries: readonly Entry[]): readonly unknown[] =>
  entries.map(({ watcher, filter = null, after }) => (after ? [watcher, filter, after] : [watcher, filter]));

export function longUrl(base: URL, watch: readonly unknown[]): string {
  const url = new URL(base);
  url.searchParams.set('watch', stringify(watch));
  return url.href;
}

export const stringify = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one));

/** Finds a value that a filter must not contain: JSON would leave it out, and the filter would match more rows. */
export function unknownOf(filter: unknown): string | undefined {
  if (filter === null) return 'null';
  const values = typeof filter === 'object' ? Object.entries(filter) : [['', filter] as const];
  const wrong = values.find(([, value]) => !isValue(value));
  return wrong && `${wrong[0] && `${wrong[0]}: `}${String(wrong[1])}`;
}

const isValue = (value: unknown) =>
  typeof value === 'number' ? Number.isFinite(value) : !['undefined', 'function', 'symbol'].includes(typeof value);
