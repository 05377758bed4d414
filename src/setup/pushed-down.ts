import { quoteIdentifier, quoteTable, type Server, since } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { columnsOf } from '../watchers/plan.ts';

/** How a table stands in a publication. Columns are by their names in the database. */
export interface Entry {
  /** The column list. Undefined: all columns are sent. */
  readonly columns: readonly string[] | undefined;
  /** The row filter. Undefined: all rows are sent. */
  readonly where: string | undefined;
}

/** What of a table the server is to send, and no more. */
export interface PushedDown extends Entry {
  /** What the watchers and the replica identity need, list or not. */
  readonly needed: readonly string[];
  /** Why there is no column list although it was asked for. */
  readonly reason: string | undefined;
  /** Columns of the filter that are not part of the replica identity: PostgreSQL then refuses published updates and deletes. */
  readonly outside: readonly string[];
}

/** What a table's column list has to hold, and whether there can be one. */
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
  if (wholesale) return 'the publication is for all tables or for schemas, where PostgreSQL has no column lists';
  const full = [table, ...table.leaves].find(({ replicaIdentity }) => replicaIdentity === 'full');
  if (full) {
    return `${quoteTable(full)} has REPLICA IDENTITY FULL: PostgreSQL would refuse the application's updates and deletes`;
  }
  const generated = table.columns.find((column) => column.generated !== undefined && needed.includes(column.name));
  if (generated && server.major < since.generatedColumns) {
    return `the replica identity has the generated column '${generated.name}', which PostgreSQL ${server.major} does not take into a column list`;
  }
  return undefined;
}

/** A table as publications name it: without the tables that inherit from it, which are tables of their own; partitions come along all the same. */
export function only(table: { readonly schema: string; readonly name: string }): string {
  return `ONLY ${quoteTable(table)}`;
}

/** A table with its column list and row filter, as it is added to a publication. */
export function addition(table: { readonly schema: string; readonly name: string }, entry: Entry | undefined): string {
  const list = entry?.columns ? ` (${entry.columns.map(quoteIdentifier).join(', ')})` : '';
  return `${only(table)}${list}${entry?.where === undefined ? '' : ` WHERE (${entry.where})`}`;
}
