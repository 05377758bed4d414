import { quoteIdentifier, quoteTable, type Server, since } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import { ambiguousName } from './ambiguous-names.ts';
import { settled, type TableReference } from './table.ts';
import { unwatchable } from './unwatchable.ts';
import type { UpdateType } from '../types/watchers.ts';
import type { Watcher } from './validate.ts';

/** A watcher and its table in the database. */
export interface BoundWatcher {
  readonly watcher: Watcher;
  readonly table: Table;
  /** Column names in code. */
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
 * Finds the table of each watcher, and everything in it that does not fit. Problems with the replica identity are returned
 * separately. `known`: the earlier result, if there is one. It keeps names unambiguous when a column was added since.
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
        message: `${watcher.name}: table ${quoteTable(watcher.table)} does not exist`,
        solution: watcher.table.names
          ? `\`naming\` of defineWatchers gives it this name. Outside the schema public write schema.table.`
          : 'Names are used exactly as written, including upper and lower case. Outside the schema public write schema.table.',
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

/** The watcher with its column names as they are in the table. */
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
  if (key.some((column) => !columns.has(column))) return []; // columnIssues reports it
  const nullable = key.filter((column) => !columns.get(column)!.notNull);
  if (nullable.length > 0) {
    return [{
      ...where,
      message: `${watcher.name}: the key column ${nullable.map((column) => `'${column}'`).join(', ')} of ${quoteTable(table)} can be null`,
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
          solution: `The table has: ${known}.`,
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

/** The columns of the event, with their names in the database. */
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
    const why = deferrable ? ' (PostgreSQL does not accept a deferrable primary key as one)' : '';
    return [{
      ...where,
      message: `${watcher.name}: ${quoteTable(table)} has no replica identity${why}. PostgreSQL would refuse its updates and deletes once they are published`,
      solution: alterIdentity(table, primaryKey && !deferrable ? 'default' : 'full'),
    }]; // prettier-ignore
  }
  const virtual = table.columns.find((column) => column.generated === 'virtual');
  if (changes && virtual && table.replicaIdentity === 'full' && server.major >= since.generatedColumns) {
    return [{
      ...where,
      message: `${watcher.name}: ${quoteTable(table)} has the virtual generated column '${virtual.name}' and REPLICA IDENTITY FULL. PostgreSQL would refuse its updates and deletes once they are published`,
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

/** SQL for a table and each of its partitions, because partitions do not inherit the replica identity. */
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
        message: `${quoteTable(leaf)} is a partition of ${quoteTable(root)}, which is watched as well: PostgreSQL publishes a change under one of them only`,
        solution: `Watch either ${quoteTable(root)} or its partitions.`,
        table: leaf.name,
      }]; // prettier-ignore
    }),
  );
}

/** Behaviour that may surprise, though it is not an error. */
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
        `${watcher.name}: an update that changes ${names(unknown)} reaches only the subscriptions to the new value, because PostgreSQL does not send the old one; this is fine if subscriptions to the old value need not know that the row left them`,
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
        `${watcher.name}: PostgreSQL does not send a large value of ${names(notSent)} that did not change. Such an update goes to every subscription that filters by it, whatever its value; this is fine if the values are short (a row of up to about 2 kB)`,
        { solution },
      ),
    );
  }
  const key = primaryKey.filter((column) => !table.identityColumns.has(databaseName(watcher.table, column)));
  if (key.length > 0) {
    warnings.push(
      new WatchError(
        'REPLICA_IDENTITY',
        `${watcher.name}: PostgreSQL does not send the old value of the key ${names(key)}, which is not part of the replica identity. So updates are handled one at a time, whatever \`concurrency\` says, and a subscription to one id is not called when its row gets another id`,
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
        `${watcher.name}: PostgreSQL does not send a large value of ${names(toastable)} that did not change, and reading it then throws VALUE_ABSENT; this is fine if the values are short (a row of up to about 2 kB)`,
        { solution: `${solution} Or set absent: 'omit' on the watcher, and check context.absent.` },
      ),
    );
  }
  return warnings;
}
