import { type ConfigurationIssue, shown } from '../errors.ts';
import { meant, unknownKeys } from '../option-names.ts';
import { type TestTable, type Values, valueOf } from './test-table.ts';

/** A change as `deliver` is given it. */
export interface GivenChange {
  readonly watcher: string;
  readonly type?: unknown;
  readonly event: Values;
  readonly previous: Values | undefined;
  readonly existing: boolean;
}

/** An element of the list that `deliver` takes. Returns undefined when it cannot be read at all. */
export function readChange(given: unknown, place: number, issues: ConfigurationIssue[]): GivenChange | undefined {
  if (!isObject(given)) {
    issues.push({
      message: `change ${place} of the list is ${shown(given)}`,
      solution: "deliver([{ watcher: 'users:inserted', event: { id: 1 } }])",
    });
    return undefined;
  }
  unknownKeys(
    given,
    ['watcher', 'type', 'event', 'previous', 'existing'],
    `key of change ${place} of the list:`,
    issues,
  );
  const { watcher, type, event, previous, existing = false } = given as Partial<GivenChange>;
  return { watcher: watcher!, type, event: event!, previous, existing };
}

/** Adds the problems of a change to `issues`. */
export function checkChange(
  { type: given, event, previous, existing }: GivenChange,
  table: TestTable,
  issues: ConfigurationIssue[],
): void {
  const { watcher } = table.bound;
  const { name, type } = watcher;
  const report = (message: string, solution: string | undefined) =>
    issues.push({ message: `${name}: ${message}`, solution, watcher: name, table: watcher.table.name });
  if (given !== undefined && given !== type) report(`its type is '${type}', not ${shown(given)}`, 'Leave it out.');
  if (isObject(event)) checkEvent(event, table, report);
  else report(`the event is ${shown(event)}`, `Pass its columns: ${example(table)}.`);
  if (previous !== undefined && type !== 'updated') report(`previous is for 'updated', not '${type}'`, 'Leave it out.');
  else if (previous !== undefined && !isObject(previous))
    report(`previous is ${shown(previous)}`, 'Pass an object with old values: { previous: { role_id: 1 } }.');
  else if (previous !== undefined) checkNames(previous, 'previous has', table, report);
  if (existing && type !== 'inserted')
    report(`existing rows arrive as 'inserted', not '${type}'`, 'Deliver them to an inserted watcher.');
}

type Report = (message: string, solution: string | undefined) => void;

function checkEvent(event: Values, table: TestTable, report: Report): void {
  const { bound, columns } = table;
  const { watcher, primaryKey } = bound;
  checkNames(event, 'the event has', table, report);
  const isMissing = (column: string) => valueOf(event, column) === undefined;
  const keys = columns.filter((column) => primaryKey.includes(column) && (isMissing(column) || event[column] === null));
  if (keys.length > 0) {
    const named = watcher.table.primaryKey !== undefined;
    report(
      `the event has no value for the primary key: ${keys.join(', ')}`,
      named
        ? `Pass it: ${example(table)}.`
        : `Pass it: ${example(table)}. If the table has another primary key, name it with table(…).`,
    );
  }
  const others = columns.filter((column) => !primaryKey.includes(column) && isMissing(column));
  if (others.length === 0 || watcher.absent === 'omit') return; // then handlers are prepared for values that are not sent
  report(
    `the event has no value for ${others.join(', ')}`,
    "Pass every column of the watcher; null is a value. With absent: 'omit' on the watcher, columns may be left out.",
  );
}

function checkNames(values: Values, what: string, { all }: TestTable, report: Report): void {
  for (const column of Object.keys(values))
    if (!all.includes(column))
      report(`${what} a column '${column}' that the watcher does not have`, meant(column, all));
}

function example({ columns }: TestTable): string {
  return columns.length === 0 ? '{}' : `{ ${columns.map((column) => `${column}: …`).join(', ')} }`;
}

function isObject(given: unknown): given is Values {
  return typeof given === 'object' && given !== null && !Array.isArray(given);
}
