import { isUnsafeInteger } from '../unsafe-integer.ts';
import type { Entry } from './told.ts';

/** How subscriptions are written in a request. Their places in this list are their numbers in the answer. */
export const placesOf = (entries: readonly Entry[]): readonly unknown[] =>
  entries.map(({ watcher, filter = null, after }) => (after ? [watcher, filter, after] : [watcher, filter]));

export function longUrl(base: URL, watch: readonly unknown[]): string {
  const url = new URL(base);
  url.searchParams.set('watch', stringify(watch));
  return url.href;
}

export const stringify = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one));

/**
 * What a filter may not hold: JSON has no form for it, and without it the filter would mean more rows; or JavaScript has
 * rounded it, so that it would mean another one.
 * @throws TypeError
 */
export function assertFilter(watcher: string, filter: unknown): void {
  const values = typeof filter === 'object' && filter !== null ? Object.entries(filter) : [['', filter] as const];
  for (const [name, value] of values) {
    const why =
      filter === null || !isValue(value)
        ? 'subscribe when it is; all rows are subscribe(watcher, listener)'
        : isUnsafeInteger(value) && 'a number above 2^53 is rounded: pass a bigint or a string';
    if (why)
      throw new TypeError(
        `walwatch/client: the filter of '${watcher}' is not known (${name && `${name}: `}${String(value)}): ${why}`,
      );
  }
}

const isValue = (value: unknown) =>
  typeof value === 'number' ? Number.isFinite(value) : !['undefined', 'function', 'symbol'].includes(typeof value);
