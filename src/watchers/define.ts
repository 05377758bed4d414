import { throwIssues } from '../errors.ts';
import type { Checked, Untyped, WatcherMap } from './inference.ts';
import type { WatcherEntry, Watchers } from './types.ts';
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
 * @throws ConfigurationError with every problem at once. Needs no database; what the database says is checked by `start()`.
 */
export function defineWatchers<Database>(): <const Entries extends readonly WatcherEntry[]>(
  entries: Checked<Database, Entries>,
) => Watchers<WatcherMap<Database, Entries>>;
/** Declares watchers without a schema type: events are `{ [column]: unknown }`. */
export function defineWatchers<const Entries extends readonly WatcherEntry[]>(
  entries: Checked<Untyped, Entries>,
): Watchers<WatcherMap<Untyped, Entries>>;
export function defineWatchers(...given: readonly unknown[]): unknown {
  return given.length === 0 ? define : define(given[0]);
}

function define(entries: unknown): Watchers {
  throwIssues(checkEntries(entries).issues);
  return { entries: Object.freeze([...(entries as readonly WatcherEntry[])]) };
}
