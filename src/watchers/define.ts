import { throwIssues } from '../errors.ts';
import type { Checked, Untyped, WatcherMap } from '../types/inference.ts';
import { conditionIssues, optionIssues } from './conditions.ts';
import type { Conditions, WatcherEntry, Watchers } from '../types/watchers.ts';
import { checkEntries } from './validate.ts';

/**
 * Declares watchers, typed by a Kysely-style `Database` interface.
 *
 * @example
 * ```ts
 * const watchers = defineWatchers<DB>()([
 *   ['users', 'inserted'],
 *   ['users', 'updated', { extraColumns: ['role_id'] }],
 *   ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email', 'phone'] }],
 * ]);
 * ```
 * A condition of one's own, beside the entries, keeps an event or not:
 * ```ts
 * const orders = defineWatchers<DB>()(
 *   [['orders', 'updated', { label: 'order_paid', extraColumns: ['status'] }]],
 *   { when: { order_paid: (event, previous) => event.status === 'paid' && previous.status !== 'paid' } },
 * );
 * ```
 * @throws ConfigurationError with every problem at once. Needs no database; what the database says is checked by `start()`.
 */
export function defineWatchers<Database>(): <const Entries extends readonly WatcherEntry[]>(
  entries: Checked<Database, Entries>,
  options?: { readonly when?: Conditions<WatcherMap<Database, Entries>> },
) => Watchers<WatcherMap<Database, Entries>>;
/** Declares watchers without a schema type: events are `{ [column]: unknown }`. */
export function defineWatchers<const Entries extends readonly WatcherEntry[]>(
  entries: Checked<Untyped, Entries>,
  options?: { readonly when?: Conditions<WatcherMap<Untyped, Entries>> },
): Watchers<WatcherMap<Untyped, Entries>>;
export function defineWatchers(...given: readonly unknown[]): unknown {
  return given.length === 0 ? define : define(given[0], given[1]);
}

function define(entries: unknown, options?: unknown): Watchers {
  const { watchers, issues } = checkEntries(entries);
  issues.push(...optionIssues(options));
  const { when } = (options ?? {}) as { readonly when?: Watchers['when'] };
  throwIssues([...issues, ...conditionIssues(when, watchers)]);
  const frozen = Object.freeze([...(entries as readonly WatcherEntry[])]);
  return when === undefined ? { entries: frozen } : { entries: frozen, when: Object.freeze({ ...when }) };
}
