import { throwIssues } from '../errors.ts';
import type { Checked, SecondCall, Untyped, WatcherMap } from '../types/inference.ts';
import { conditionIssues, optionIssues } from './conditions.ts';
import type { DefineOptions, WatcherEntry, Watchers } from '../types/watchers.ts';
import { singleEntries } from './several-types.ts';
import { checkEntries } from './validate.ts';

/**
 * Declares which tables and changes to watch, typed by a Kysely-style `Database` interface.
 *
 *
 * @example
 * ```ts
 * const watchers = defineWatchers<DB>()([
 *   ['users', 'inserted'],
 *   ['users', 'updated', { extraColumns: ['role_id'] }],
 *   ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email', 'phone'] }],
 * ]);
 * ```
 * A list of types makes one watcher per type, with the same options: `['orders', ['inserted', 'updated'], { extraColumns: ['status'] }]`.
 * `when` has conditions in JavaScript that decide whether an event is kept:
 * ```ts
 * const orders = defineWatchers<DB>()(
 *   [['orders', 'updated', { label: 'order_paid', extraColumns: ['status'] }]],
 *   { when: { order_paid: (event, previous) => event.status === 'paid' && previous.status !== 'paid' } },
 * );
 * ```
 * @throws ConfigurationError with every problem that can be found without the database. `start()` checks the rest.
 */
export function defineWatchers<Database>(): <const Entries extends readonly WatcherEntry[]>(
  entries: Checked<Database, Entries>,
  options?: DefineOptions<WatcherMap<Database, Entries>>,
) => Watchers<{ readonly [N in keyof WatcherMap<Database, Entries>]: WatcherMap<Database, Entries>[N] }>;
/** The list belongs into a second call: `defineWatchers<DB>()([…])`. */
export function defineWatchers<Database>(...second: SecondCall<Database>): never;
/** Declares watchers without a schema type. Events are then `{ [column]: unknown }`. */
export function defineWatchers<const Entries extends readonly WatcherEntry[]>(
  entries: Checked<Untyped, Entries>,
  options?: DefineOptions<WatcherMap<Untyped, Entries>>,
): Watchers<{ readonly [N in keyof WatcherMap<Untyped, Entries>]: WatcherMap<Untyped, Entries>[N] }>;
export function defineWatchers(...given: readonly unknown[]): unknown {
  return given.length === 0 ? define : define(given[0], given[1]);
}

function define(entries: unknown, options?: unknown): Watchers {
  const { when, naming } = (options ?? {}) as Pick<Watchers, 'when' | 'naming'>;
  const { single, issues: wrong } = singleEntries(entries);
  const { watchers, issues } = checkEntries(single, undefined, naming);
  issues.unshift(...wrong);
  issues.push(...optionIssues(options));
  throwIssues([...issues, ...conditionIssues(when, watchers)]);
  return {
    entries: Object.freeze([...(single as readonly WatcherEntry[])]),
    ...(when !== undefined && { when: Object.freeze({ ...when }) }),
    ...(naming !== undefined && { naming }),
  };
}
