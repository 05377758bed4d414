import { type ConfigurationIssue, shown } from '../errors.ts';
import { isUnsafeInteger } from '../unsafe-integer.ts';
import type { Watcher } from '../watchers/validate.ts';
import { isScalar } from './keys.ts';
import type { Filter } from './subscription.ts';

/**
 * Problems of a filter. `primaryKey` is undefined while only the database knows it: a bare table name before `start()`. The
 * key is then assumed to be `id`, as in the types, or to have several columns. `takesAnyNumber`: the column's values may
 * be large numbers in JavaScript, or its type is not known yet.
 */
export function filterIssues(
  watcher: Pick<Watcher, 'name' | 'type' | 'extraColumns'> & { readonly table: { readonly name: string } },
  filter: Filter,
  primaryKey: readonly string[] | undefined,
  takesAnyNumber: (column: string) => boolean = () => true,
): ConfigurationIssue[] {
  const issue = (message: string, solution?: string, column?: string): ConfigurationIssue => ({
    message: `${watcher.name}: ${message}`,
    solution,
    watcher: watcher.name,
    table: watcher.table.name,
    ...(column !== undefined && { column }),
  });
  const filterable = watcher.extraColumns.join(', ') || 'none';
  if (watcher.type === 'truncated')
    return [issue("'truncated' concerns the whole table and cannot be filtered", 'Subscribe without a filter.')];
  if (isScalar(filter)) {
    if (filter === null)
      return [issue('an id cannot be null', 'Pass an id that is set; perhaps its value was not loaded yet.')];
    if (watcher.type === 'inserted') {
      return [
        issue(
          "'inserted' cannot be filtered by id",
          `Filter by extraColumns (${filterable}): subscribe('${watcher.name}', { column: value }, handler).`,
        ),
      ];
    }
    if (primaryKey !== undefined && primaryKey.length > 1) {
      return [
        issue(
          `the primary key has ${primaryKey.length} columns, not one`,
          `Filter by them: { ${primaryKey.map((column) => `${column}: …`).join(', ')} }.`,
        ),
      ];
    }
    const [key = 'id'] = primaryKey ?? [];
    return isUnsafeInteger(filter) && !takesAnyNumber(key) ? [issue(...rounded(key, filter))] : [];
  }
  if (typeof filter !== 'object') {
    return [
      issue(`${shown(filter)} is not a filter`, 'Pass an id or { column: value }, or omit the filter for all rows.'),
    ];
  }
  const columns = Object.keys(filter);
  if (columns.length === 0)
    return [issue('the filter names no column', 'Name a column, or omit the filter for all rows.')];
  const composite = primaryKey === undefined || primaryKey.length > 1;
  const key = watcher.type === 'inserted' && !composite ? [] : (primaryKey ?? ['id']);
  const unknown = columns.filter((column) => !key.includes(column) && !watcher.extraColumns.includes(column));
  const wrongColumns = primaryKey === undefined && unknown.length > 1 ? [] : unknown;
  return [
    ...wrongColumns.map((column) =>
      issue(
        `'${column}' is ${key.length === 0 ? 'not' : 'neither part of the primary key nor'} in extraColumns`,
        `Add it to the watcher's extraColumns (now: ${filterable})${primaryKey === undefined ? ', or name the key with table(…)' : ''}.`,
        column,
      ),
    ),
    ...columns
      .filter((column) => isUnsafeInteger(filter[column]) && !takesAnyNumber(column))
      .map((column) => issue(...rounded(column, filter[column] as number), column)),
    ...columns
      .filter((column) => !isScalar(filter[column]))
      .map((column) =>
        issue(
          `the value for '${column}' is ${filter[column] === undefined ? 'undefined' : 'not a scalar'}`,
          'Use a string, number, bigint, boolean or null.',
          column,
        ),
      ),
  ];
}

function rounded(column: string, value: number): [message: string, solution: string] {
  return [
    `the value for '${column}' is ${value}, a number above 2^53, which JavaScript rounds`,
    "Pass a bigint or a string: 9007199254740993n or '9007199254740993'.",
  ];
}
