import { type ConfigurationIssue, shown } from '../errors.ts';
import { meant } from '../option-names.ts';
import { type Names, namesOf } from './naming.ts';
import { identified, referTo, type TableReference } from './table.ts';
import type { Condition, Naming, UpdateType, WatcherOptions, Watchers } from '../types/watchers.ts';

/** A checked watcher. Columns have their names in code. */
export interface Watcher {
  /** The label, or `table:type`. */
  readonly name: string;
  readonly type: UpdateType;
  readonly table: TableReference;
  readonly label: string | undefined;
  readonly extraColumns: readonly string[];
  readonly triggerColumns: readonly string[];
  /** Row filter of the table. */
  readonly where: string | undefined;
  readonly absent: 'throw' | 'omit';
  readonly debug: boolean;
  /** The condition from `defineWatchers` that decides whether an event is kept. */
  readonly when: Condition | undefined;
}

const updateTypes: readonly unknown[] = ['inserted', 'updated', 'deleted', 'truncated'] satisfies UpdateType[];
const optionNames = [
  'label', 'extraColumns', 'triggerColumns', 'where', 'absent', 'debug',
] satisfies (keyof WatcherOptions)[]; // prettier-ignore

/** Finds every problem with the entries that shows without the database. */
export function checkEntries(
  entries: unknown,
  when?: Watchers['when'],
  naming?: Naming,
): { watchers: Watcher[]; issues: ConfigurationIssue[] } {
  const issues: ConfigurationIssue[] = [];
  if (!Array.isArray(entries)) {
    issues.push({
      message: `watchers must be a list of entries, not ${shown(entries)}`,
      solution: "[['users', 'updated'], …]",
    });
    return { watchers: [], issues };
  }
  const names = namesOf(naming);
  const watchers = entries.flatMap((entry, index) => checkEntry(entry, index, issues, when, names) ?? []);
  const taken = new Set<string>();
  for (const { name } of watchers) {
    if (taken.has(name))
      issues.push({
        watcher: name,
        message: `two watchers have the name '${name}'`,
        solution: 'Give one of them a label.',
      });
    taken.add(name);
  }
  issues.push(...filterIssues(watchers));
  return { watchers, issues };
}

function checkEntry(
  entry: unknown,
  index: number,
  issues: ConfigurationIssue[],
  when: Watchers['when'],
  names: Names | undefined,
): Watcher | undefined {
  const report = (message: string, solution?: string, watcher?: string) =>
    issues.push({
      message: `${watcher ?? `watcher ${index}`}: ${message}`,
      solution,
      ...(watcher !== undefined && { watcher }),
    });
  if (!Array.isArray(entry) || entry.length < 2 || entry.length > 3) {
    report('an entry must be [table, type, options?]', "['users', 'updated', { extraColumns: ['role_id'] }]");
    return undefined;
  }
  const [given, type, options = {}] = entry as unknown[];
  const table = referTo(given, names);
  if (typeof table === 'string') report(table);
  if (!updateTypes.includes(type)) report(`unknown update type ${shown(type)}`, `Known: ${updateTypes.join(', ')}.`);
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    report(`options must be an object, not ${shown(options)}`);
    return undefined;
  }
  if (typeof table === 'string' || !updateTypes.includes(type)) return undefined;

  const {
    label,
    extraColumns = [],
    triggerColumns = [],
    where,
    absent = 'throw',
    debug = false,
  } = options as WatcherOptions;
  const labelled: unknown = label;
  const name = typeof labelled === 'string' && labelled !== '' ? labelled : identifier(table, type as UpdateType);
  const wrong = (message: string, solution?: string) => report(message, solution, name);
  for (const key of Object.keys(options)) {
    if (!(optionNames as string[]).includes(key)) wrong(`unknown watcher option '${key}'`, meant(key, optionNames));
  }
  if (labelled !== undefined && (typeof labelled !== 'string' || labelled === '' || labelled.includes(':'))) {
    wrong(`invalid label ${shown(labelled)}`, "Use a name without ':', such as 'contact_changed'.");
  }
  if (!isNames(extraColumns)) wrong(`extraColumns must be a list of column names, not ${shown(extraColumns)}`);
  if (!isNames(triggerColumns)) wrong(`triggerColumns must be a list of column names, not ${shown(triggerColumns)}`);
  if (absent !== 'throw' && absent !== 'omit') wrong(`absent must be 'throw' or 'omit', not ${shown(absent)}`);
  if (!isNames(extraColumns) || !isNames(triggerColumns)) return undefined;
  if (type === 'truncated' && extraColumns.length > 0) wrong("'truncated' has no row, so no extraColumns");
  if (where !== undefined && (typeof where !== 'string' || where.trim() === ''))
    wrong(`where must be a SQL expression, not ${shown(where)}`, "where: 'role_id = 7'");
  else if (where !== undefined && type === 'truncated') wrong("'truncated' has no row, so no where");
  if (triggerColumns.length > 0) {
    if (type !== 'updated') wrong(`triggerColumns is for 'updated', not '${String(type)}'`);
    if (label === undefined)
      wrong('triggerColumns needs a label', "Add label: 'contact_changed', and subscribe to that.");
  }
  checkDrizzleColumns(table, [...(table.primaryKey ?? []), ...extraColumns, ...triggerColumns], name, issues);
  return {
    name, type: type as UpdateType, table, label, absent, debug: Boolean(debug),
    where: typeof where === 'string' && where.trim() !== '' ? where.trim() : undefined,
    extraColumns: [...new Set(extraColumns)], triggerColumns: [...new Set(triggerColumns)],
    when: Object.hasOwn(Object(when) as object, name) ? when?.[name] : undefined,
  }; // prettier-ignore
}

/** A publication has one row filter per table, so a row that one watcher filters out is missing for all. TRUNCATE is not filtered. */
function filterIssues(watchers: readonly Watcher[]): ConfigurationIssue[] {
  const tables = new Map<string, Watcher[]>();
  for (const watcher of watchers.filter(({ type }) => type !== 'truncated')) {
    const key = `${watcher.table.schema}\0${watcher.table.name}`;
    tables.set(key, [...(tables.get(key) ?? []), watcher]);
  }
  return [...tables.values()].flatMap((same): ConfigurationIssue[] => {
    const other = same.find(({ where }) => where !== same[0]!.where);
    if (!other) return [];
    const names = same.map(({ name }) => `'${name}'`).join(', ');
    return [{
      message: `${other.name}: its where differs from that of '${same[0]!.name}', but PostgreSQL has only one row filter per table`,
      solution: `Give ${names} the same where. For different conditions use when, the second argument of defineWatchers, which runs in this process.`,
      watcher: other.name,
      table: other.table.name,
    }]; // prettier-ignore
  });
}

/** `table:type`, or `schema.table:type` outside `public`, with names in code. */
function identifier({ schema, name, calledInCode }: TableReference, type: UpdateType): string {
  return `${calledInCode ?? identified(schema, name)}:${type}`;
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string' && name !== '');
}

function checkDrizzleColumns(
  table: TableReference,
  columns: readonly string[],
  watcher: string,
  issues: ConfigurationIssue[],
) {
  const { drizzle, name } = table;
  if (!drizzle) return;
  for (const column of columns.filter((given) => !Object.hasOwn(drizzle.columns, given))) {
    const solution = `Use the property names of the Drizzle table: ${Object.keys(drizzle.columns).join(', ')}.`;
    issues.push({
      message: `${watcher}: the Drizzle table '${name}' has no column '${column}'`,
      solution,
      watcher,
      table: name,
      column,
    });
  }
}
