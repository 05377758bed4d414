import { WatchError } from '../errors.ts';
import type { Tuple, TupleValue } from '../postgres/pgoutput/messages.ts';
import { longestText, oversizedBytes } from '../postgres/pgoutput/oversized.ts';
import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import { type BoundWatcher, databaseName } from './bind.ts';
import { currentText, type PlannedColumn, type PlannedWatcher, previousText } from './plan.ts';

export type Event = Record<string, unknown>;

const none: readonly string[] = Object.freeze([]);

/**
 * Makes the value that handlers receive, and names the columns whose values are unknown: PostgreSQL did not send them, or they are too
 * long. `change`: identifies the event in errors about values that are too long.
 */
export function makeEvent(
  planned: PlannedWatcher,
  row: Tuple,
  old: Tuple | undefined,
  change?: { readonly eventId: string },
): { readonly event: Event; readonly absent: readonly string[] } {
  const event: Event = {};
  let absent: string[] | undefined;
  for (const column of planned.columns) {
    const text = currentText(column, row, old);
    if (text === undefined) (absent ??= []).push(column.name);
    else setValue(event, column.name, text === null ? null : column.parse(text));
  }
  if (absent !== undefined) {
    const errorOf = (name: string): WatchError => {
      const { slot } = planned.columns.find((column) => column.name === name)!;
      if (slot === -1) return unknownThen(planned.bound, name);
      const bytes = oversizedBytes(row, slot) ?? oversizedBytes(old, slot);
      return bytes === undefined
        ? absentError(planned.bound, name)
        : oversizedError(planned.bound, name, bytes, change?.eventId);
    };
    guardAbsent(event, absent, planned.bound, errorOf);
  }
  // All subscriptions and all attempts share it.
  return { event: Object.freeze(event), absent: absent ?? none };
}

/** Old values of the event's columns, as far as PostgreSQL sent them. */
export function makePrevious(planned: PlannedWatcher, row: Tuple, old: Tuple | undefined): Event {
  const previous: Event = {};
  for (const column of planned.columns) {
    const text = previousText(column, row, old);
    if (text !== undefined) setValue(previous, column.name, text === null ? null : column.parse(text));
  }
  return Object.freeze(previous);
}

/** The primary key as text. It is equal for all events of one record. Undefined: PostgreSQL did not send it. */
export function recordKey(
  columns: readonly PlannedColumn[],
  textOf: (column: PlannedColumn, row: Tuple, old: Tuple | undefined) => TupleValue,
  row: Tuple,
  old: Tuple | undefined,
): string | undefined {
  if (columns.length === 1) return textOf(columns[0]!, row, old) ?? undefined;
  let key = '';
  for (const column of columns) {
    const text = textOf(column, row, old);
    if (text === null || text === undefined) return undefined;
    key += `${text.length}:${text}`;
  }
  return key;
}

/** The error for a value that was not sent. */
function absentError({ watcher, table }: BoundWatcher, column: string): WatchError {
  return new WatchError('VALUE_ABSENT', `${watcher.name}: PostgreSQL did not send the value of '${column}'`, {
    solution: `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL; or read the row by its id; or set absent: 'omit' and check context.absent.`,
  });
}

/** The error for a column that the table did not have when the change was written, or that had another name. */
function unknownThen({ watcher, table }: BoundWatcher, name: string): WatchError {
  const column = databaseName(watcher.table, name);
  return new WatchError(
    'VALUE_ABSENT',
    `${watcher.name}: ${quoteTable(table)} had no column '${column}' when this change was written`,
    { solution: "Read the row by its id; or set absent: 'omit' and check context.absent." },
  );
}

function oversizedError(
  { watcher, table }: BoundWatcher,
  name: string,
  bytes: number,
  eventId: string | undefined,
): WatchError {
  const column = quoteIdentifier(databaseName(watcher.table, name));
  const size = Number.isFinite(bytes) ? `has ${bytes} bytes` : 'was not relayed';
  return new WatchError(
    'VALUE_ABSENT',
    `${watcher.name}: the value of ${column} of ${quoteTable(table)}${eventId === undefined ? '' : `, event ${eventId},`} ${size}; a JavaScript string holds at most ${longestText}`,
    {
      solution: `Read it in parts: SELECT substring(${column} FROM 1 FOR 100000000) FROM ${quoteTable(table)} WHERE …; or remove '${name}' from extraColumns.`,
    },
  );
}

/**
 * Makes reading an absent column throw, unless the watcher has `absent: 'omit'`. These columns are not enumerable, so that the event
 * can still be copied and printed.
 */
export function guardAbsent(
  event: Event,
  absent: readonly string[],
  bound: BoundWatcher,
  errorOf: (column: string) => WatchError = (column) => absentError(bound, column),
): void {
  if (bound.watcher.absent === 'omit') return;
  for (const column of absent) {
    Object.defineProperty(event, column, {
      enumerable: false,
      get: () => {
        throw errorOf(column);
      },
    });
  }
}

/** Sets a value like pg does: a column named __proto__ is a column like any other. */
export function setValue(event: Event, column: string, value: unknown): void {
  if (column === '__proto__') Object.defineProperty(event, column, { value, enumerable: true });
  else event[column] = value;
}
