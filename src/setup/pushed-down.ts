import { quoteIdentifier, quoteTable, type Server, since } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { columnsOf } from '../watchers/plan.ts';

/** A table's entry in a publication. Columns have their names in the database. */
export interface Entry {
  /** The column list. Undefined: all columns are sent. */
  readonly columns: readonly string[] | undefined;
  /** The row filter. Undefined: all rows are sent. */
  readonly where: string | undefined;
}

/** The part of a table that the server sends. */
export interface PushedDown extends Entry {
  /** The columns that the watchers and the replica identity need, with or without a list. */
  readonly needed: readonly string[];
  /** Why `columnLists` has no effect on this table. */
  readonly reason: string | undefined;
  /** Columns of the filter outside the replica identity: PostgreSQL then refuses published updates and deletes. */
  readonly outside: readonly string[];
}

/** The columns that a table's column list must contain, and why there can be no list. */
export function columnList(
  table: Table,
  bound: readonly BoundWatcher[],
  server: Pick<Server, 'major'>,
  asked: { readonly columnLists: boolean; readonly wholesale: boolean },
): Pick<PushedDown, 'columns' | 'needed' | 'reason'> {
  const wanted = new Set([...bound.flatMap(columnsOf), ...table.identityUnion]);
  const needed = table.columns.filter(({ name }) => wanted.has(name)).map(({ name }) => name);
  if (!asked.columnLists) return { columns: undefined, needed, reason: undefined };
  const reason = obstacle(table, needed, server, asked.wholesale);
  return { columns: reason === undefined ? needed : undefined, needed, reason };
}

function obstacle(
  table: Table,
  needed: readonly string[],
  server: Pick<Server, 'major'>,
  wholesale: boolean,
): string | undefined {
  if (wholesale) return 'the publication is for all tables or for schemas, where PostgreSQL allows no column lists';
  const full = [table, ...table.leaves].find(({ replicaIdentity }) => replicaIdentity === 'full');
  if (full) {
    return `${quoteTable(full)} has REPLICA IDENTITY FULL. PostgreSQL would refuse the application's updates and deletes`;
  }
  const generated = table.columns.find((column) => column.generated !== undefined && needed.includes(column.name));
  if (generated && server.major < since.generatedColumns) {
    return `the replica identity has the generated column '${generated.name}', which PostgreSQL ${server.major} does not accept in a column list`;
  }
  return undefined;
}

/** A table as publications name it. ONLY leaves out tables that inherit from it: those are separate tables. Partitions are included all the same. */
export function only(table: { readonly schema: string; readonly name: string }): string {
  return `ONLY ${quoteTable(table)}`;
}

/** A table with its column list and row filter, as in ADD TABLE. */
export function addition(table: { readonly schema: string; readonly name: string }, entry: Entry | undefined): string {
  const list = entry?.columns ? ` (${entry.columns.map(quoteIdentifier).join(', ')})` : '';
  return `${only(table)}${list}${entry?.where === undefined ? '' : ` WHERE (${entry.where})`}`;
}
