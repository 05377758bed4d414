import { type ConfigurationIssue, shown } from '../errors.ts';
import { isUnsafeInteger } from '../unsafe-integer.ts';
import type { Watcher } from '../watchers/validate.ts';
import { isScalar } from './keys.ts';
import type { Filter } from './subscription.ts';

/**
 * What is wrong with a filter. `primaryKey` is undefined as long as only the database knows it: a bare table name before
 * `start()`. Its key is then taken to be `id`, as the types take it, or to have several columns. `takesAnyNumber`: the column has
 * values that are large numbers in JavaScript too, or its type is not known yet.
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
    return [
      issue("'truncated' concerns the whole table: there is nothing to filter by", 'Subscribe without a filter.'),
    ];
  if (isScalar(filter)) {
    if (filter === null) return [issue('an id is never null', 'Is the value that you pass loaded yet?')];
    if (watcher.type === 'inserted') {
      return [
        issue(
          "there is no id to subscribe to on 'inserted'",
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
    return [issue(`${shown(filter)} is no filter`, 'An id, or { column: value }; leave it out for all rows.')];
  }
  const columns = Object.keys(filter);
  if (columns.length === 0) return [issue('the filter names no column', 'Leave it out for all rows.')];
  const composite = primaryKey === undefined || primaryKey.length > 1;
  const key = watcher.type === 'inserted' && !composite ? [] : (primaryKey ?? ['id']);
  const unknown = columns.filter((column) => !key.includes(column) && !watcher.extraColumns.includes(column));
  const wrongColumns = primaryKey === undefined && unknown.length > 1 ? [] : unknown;
  return [
    ...wrongColumns.map((column) =>
      issue(
        `'${column}' is neither primary key nor in extraColumns`,
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
          'A string, number, bigint, boolean or null.',
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
