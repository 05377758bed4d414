import { quoteIdentifier, quoteTable, type Server, since } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import { ambiguousName } from './ambiguous-names.ts';
import { settled, type TableReference } from './table.ts';
import { unwatchable } from './unwatchable.ts';
import type { UpdateType } from '../types/watchers.ts';
import type { Watcher } from './validate.ts';

/** A watcher together with the table that the database has for it. */
export interface BoundWatcher {
  readonly watcher: Watcher;
  readonly table: Table;
  /** By names in code. */
  readonly primaryKey: readonly string[];
}

/** The name in the database of a column's name in code. */
export function databaseName(reference: TableReference, column: string): string {
  const { columnMap, names } = reference;
  return Object.hasOwn(columnMap, column) ? columnMap[column]! : (names?.toDatabase(column) ?? column);
}

/** The name in code of a column's name in the database. */
export function codeName(reference: TableReference, column: string): string {
  const { columnMap, names } = reference;
  return Object.keys(columnMap).find((name) => columnMap[name] === column) ?? names?.toCode(column) ?? column;
}

/**
 * Brings watchers and catalog together, and finds all that does not fit; what concerns the replica identity apart.
 * `known`: how they were bound before. A column that was added since does not make their names ambiguous.
 */
export function bindWatchers(
  watchers: readonly Watcher[],
  tables: readonly Table[],
  server: Pick<Server, 'major'>,
  known: readonly BoundWatcher[] = [],
): { bound: BoundWatcher[]; issues: ConfigurationIssue[]; identity: ConfigurationIssue[] } {
  const issues: ConfigurationIssue[] = [];
  const identity: ConfigurationIssue[] = [];
  const published = new Set(watchers.map((watcher) => watcher.type));
  const byName = new Map(tables.map((table) => [quoteTable(table), table]));
  const before = new Map(known.map(({ watcher }) => [watcher.name, watcher.table.columnMap]));
  const bound = watchers.flatMap((given) => {
    const table = byName.get(quoteTable(given.table));
    const names = before.get(given.name);
    const has = (name: string) => table!.columns.some((column) => column.name === name);
    const watcher = table ? withNames(given, has, names) : given;
    if (!table) {
      issues.push({
        message: `${watcher.name}: there is no table ${quoteTable(watcher.table)}`,
        solution: watcher.table.names
          ? `That is its name by the \`naming\` of defineWatchers. Outside the schema public write schema.table.`
          : 'Names are taken literally, upper and lower case included; outside the schema public write schema.table.',
        watcher: watcher.name,
        table: watcher.table.name,
      });
      return [];
    }
    const unfit = unwatchable(watcher, table);
    const found =
      unfit.length > 0
        ? unfit
        : [...keyIssues(watcher, table), ...columnIssues(watcher, table, server, names === undefined)];
    issues.push(...found);
    if (found.length > 0) return [];
    const primaryKey = watcher.table.primaryKey ?? table.primaryKey!.map((column) => codeName(watcher.table, column));
    const result: BoundWatcher = { watcher, table, primaryKey };
    identity.push(...identityIssues(result, published, server));
    return [result];
  });
  issues.push(...partitionIssues(bound));
  return { bound, issues, identity };
}

/** The watcher with the names of its columns as the table has them. */
export function withNames(
  watcher: Watcher,
  has: (column: string) => boolean,
  before?: TableReference['columnMap'],
): Watcher {
  const table = settled(watcher.table, has, before);
  return table === watcher.table ? watcher : { ...watcher, table };
}

function keyIssues(watcher: Watcher, table: Table): ConfigurationIssue[] {
  const where = { watcher: watcher.name, table: table.name };
  const { primaryKey } = watcher.table;
  if (primaryKey === undefined) {
    if (table.primaryKey) return [];
    return [{
      ...where,
      message: `${watcher.name}: ${quoteTable(table)} has no primary key`,
      solution: `Name columns that are unique and NOT NULL: table()({ tableName: '${table.name}', schema: '${table.schema}', primaryKey: […] }); or ALTER TABLE ${quoteTable(table)} ADD PRIMARY KEY (…);`,
    }]; // prettier-ignore
  }
  const key = primaryKey.map((column) => databaseName(watcher.table, column));
  const columns = new Map(table.columns.map((column) => [column.name, column]));
  if (key.some((column) => !columns.has(column))) return []; // columnIssues says so
  const nullable = key.filter((column) => !columns.get(column)!.notNull);
  if (nullable.length > 0) {
    return [{
      ...where,
      message: `${watcher.name}: the key column ${nullable.map((column) => `'${column}'`).join(', ')} of ${quoteTable(table)} may be null`,
      solution: nullable.map((column) => `ALTER TABLE ${quoteTable(table)} ALTER COLUMN ${quoteIdentifier(column)} SET NOT NULL;`).join(' '),
    }]; // prettier-ignore
  }
  const unique = [...table.uniqueKeys, ...table.deferrableKeys];
  if (unique.some((columns) => columns.every((column) => key.includes(column)))) return [];
  return [{
    ...where,
    message: `${watcher.name}: ${key.map((column) => `'${column}'`).join(', ')} of ${quoteTable(table)} is not unique`,
    solution: `ALTER TABLE ${quoteTable(table)} ADD UNIQUE (${key.map(quoteIdentifier).join(', ')});`,
  }]; // prettier-ignore
}

function columnIssues(
  watcher: Watcher,
  table: Table,
  server: Pick<Server, 'major'>,
  undecided: boolean,
): ConfigurationIssue[] {
  const wanted = [...(watcher.table.primaryKey ?? []), ...watcher.extraColumns, ...watcher.triggerColumns];
  return [...new Set(wanted)].flatMap((given): ConfigurationIssue[] => {
    const name = databaseName(watcher.table, given);
    const column = table.columns.find((candidate) => candidate.name === name);
    const where = { watcher: watcher.name, table: table.name, column: name };
    if (!column) {
      const known = table.columns.map((candidate) => candidate.name).join(', ');
      return [
        {
          ...where,
          message: `${watcher.name}: ${quoteTable(table)} has no column '${name}'`,
          solution: `Its columns: ${known}.`,
        },
      ];
    }
    const ambiguous = undecided ? ambiguousName(watcher, given, table) : [];
    if (ambiguous.length > 0) return ambiguous;
    if (column.generated === undefined || (column.generated === 'stored' && server.major >= since.generatedColumns))
      return [];
    const which = column.generated === 'virtual' ? 'a virtual generated column' : 'a generated column';
    return [{
      ...where,
      message: `${watcher.name}: '${name}' of ${quoteTable(table)} is ${which}, which PostgreSQL ${server.major} does not send`,
      solution: 'Watch the columns that it is computed from.',
    }]; // prettier-ignore
  });
}

/** The columns of the event, by their names in the database. */
function eventColumns({ watcher, primaryKey }: BoundWatcher): string[] {
  return [...primaryKey, ...watcher.extraColumns].map((column) => databaseName(watcher.table, column));
}

function identityIssues(
  bound: BoundWatcher,
  published: ReadonlySet<UpdateType>,
  server: Pick<Server, 'major'>,
): ConfigurationIssue[] {
  const { watcher, table } = bound;
  const where = { watcher: watcher.name, table: table.name };
  const changes = published.has('updated') || published.has('deleted');
  if (changes && table.identityColumns.size === 0) {
    // Publishing it would make the application's own UPDATE and DELETE fail with 55000.
    const { primaryKey } = table;
    const deferrable = table.deferrableKeys.some((key) => key.join('\0') === primaryKey?.join('\0'));
    const why = deferrable ? ' (PostgreSQL takes no deferrable primary key for one)' : '';
    return [{
      ...where,
      message: `${watcher.name}: ${quoteTable(table)} has no replica identity${why}, so that PostgreSQL would refuse its updates and deletes once they are published`,
      solution: alterIdentity(table, primaryKey && !deferrable ? 'default' : 'full'),
    }]; // prettier-ignore
  }
  const virtual = table.columns.find((column) => column.generated === 'virtual');
  if (changes && virtual && table.replicaIdentity === 'full' && server.major >= since.generatedColumns) {
    return [{
      ...where,
      message: `${watcher.name}: ${quoteTable(table)} has the virtual generated column '${virtual.name}' and REPLICA IDENTITY FULL: PostgreSQL would refuse its updates and deletes once they are published`,
      solution: `${alterIdentity(table, 'default')} or ALTER TABLE ${quoteTable(table)} DROP COLUMN ${quoteIdentifier(virtual.name)};`,
    }]; // prettier-ignore
  }
  const triggers = watcher.triggerColumns.map((column) => databaseName(watcher.table, column));
  const oldValues = watcher.type === 'deleted' ? eventColumns(bound) : watcher.type === 'updated' ? triggers : [];
  const missing = oldValues.filter((column) => !table.identityColumns.has(column));
  if (missing.length === 0) return [];
  const which = table.leaves.length > 0 ? `${quoteTable(table)} or of a partition` : quoteTable(table);
  return [{
    ...where,
    message:
      `${watcher.name}: PostgreSQL does not send the old value of ${missing.map((column) => `'${column}'`).join(', ')}, ` +
      `because of the replica identity of ${which} (${table.replicaIdentity})`,
    solution: alterIdentity(table, 'full'),
  }]; // prettier-ignore
}

/** For a partitioned table and each of its partitions, because partitions do not inherit it. */
export function alterIdentity(table: Table, identity: 'default' | 'full'): string {
  return [table, ...table.leaves]
    .filter((one) => one.replicaIdentity !== identity)
    .map((one) => `ALTER TABLE ${quoteTable(one)} REPLICA IDENTITY ${identity.toUpperCase()};`)
    .join(' ');
}

function partitionIssues(bound: readonly BoundWatcher[]): ConfigurationIssue[] {
  const tables = new Map(bound.map(({ table }) => [table.oid, table]));
  return [...tables.values()].flatMap((leaf) =>
    leaf.ancestors.flatMap((oid) => {
      const root = tables.get(oid);
      if (!root) return [];
      return [{
        message: `${quoteTable(leaf)} is a partition of ${quoteTable(root)}, which is watched as well: changes are published under one of them only`,
        solution: `Watch ${quoteTable(root)} alone, or its partitions.`,
        table: leaf.name,
      }]; // prettier-ignore
    }),
  );
}

/** What may go otherwise than somebody expects, though it is no error. */
export function bindWarnings(bound: BoundWatcher, filteredBy: readonly string[]): WatchError[] {
  const { watcher, table, primaryKey } = bound;
  const warnings: WatchError[] = [];
  if (watcher.type !== 'updated') return warnings;
  const solution = alterIdentity(table, 'full');
  const names = (columns: readonly string[]) => columns.map((column) => `'${column}'`).join(', ');
  const unknown = filteredBy.filter((column) => !table.identityColumns.has(databaseName(watcher.table, column)));
  if (unknown.length > 0) {
    warnings.push(
      new WatchError(
        'REPLICA_IDENTITY',
        `${watcher.name}: a row whose ${names(unknown)} changes is told to the subscriptions to its new value only, because PostgreSQL does not send the old one; that is fine if those to the old value need not know that it left them`,
        { solution },
      ),
    );
  }
  const isToastable = (column: string) =>
    table.columns.find(({ name }) => name === databaseName(watcher.table, column))?.toastable ?? false;
  const notSent = unknown.filter(isToastable);
  if (notSent.length > 0) {
    warnings.push(
      new WatchError(
        'VALUE_ABSENT',
        `${watcher.name}: large values of ${names(notSent)} are not sent when they did not change: such an update goes to every subscription that filters by it, whatever value it wants; that is fine if they are short (a row of up to about 2 kB)`,
        { solution },
      ),
    );
  }
  const key = primaryKey.filter((column) => !table.identityColumns.has(databaseName(watcher.table, column)));
  if (key.length > 0) {
    warnings.push(
      new WatchError(
        'REPLICA_IDENTITY',
        `${watcher.name}: PostgreSQL does not send the old value of the key ${names(key)}, which is not part of the replica identity: updates are handled one at a time, whatever \`concurrency\` says, and a subscription to one id does not hear that its row has another now`,
        { solution },
      ),
    );
  }
  const toastable = watcher.extraColumns.filter(isToastable);
  const full = table.identityColumns.size === table.columns.length;
  if (toastable.length > 0 && !full && watcher.absent === 'throw') {
    warnings.push(
      new WatchError(
        'VALUE_ABSENT',
        `${watcher.name}: large values of ${names(toastable)} are not sent when they did not change; reading them then throws VALUE_ABSENT; that is fine if they are short (a row of up to about 2 kB)`,
        { solution: `${solution} Or set absent: 'omit' on the watcher, and look at context.absent.` },
      ),
    );
  }
  return warnings;
}
