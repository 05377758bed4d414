import type { Client } from 'pg';
import type { Relation } from '../postgres/pgoutput/messages.ts';
import { quoteTable, type Server, since } from '../postgres/server.ts';
import { readTables, type Table } from '../postgres/tables.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import { type BoundWatcher, bindWatchers, databaseName } from '../watchers/bind.ts';
import { columnsOf, planRelation } from '../watchers/plan.ts';
import type { Watcher } from '../watchers/validate.ts';
import { type ReadPlan, TableChanged } from './chunk.ts';
import { KeyOrder } from './key-order.ts';

/** The table does not exist any more. */
export class TableDropped extends TableChanged {}

/**
 * What it takes to read the rows of a table for these watchers, all of them `inserted` and of this table. The catalog is asked: the
 * stream describes a table that has changed with its next change only.
 *
 * @throws TableChanged, TableDropped
 */
export async function readPlan(
  client: Client,
  watchers: readonly Watcher[],
  known: readonly BoundWatcher[],
  types: TypeCatalog,
  { publication, server }: { readonly publication: string; readonly server: Pick<Server, 'major'> },
): Promise<ReadPlan> {
  const tables = await readTables(client, [watchers[0]!.table]);
  if (tables.length === 0) throw await gone(client, watchers[0]!, known[0]);
  const { bound, issues } = bindWatchers(watchers, tables, server, known);
  if (issues.length > 0) throw new TableChanged(issues[0]!.message);
  await types.resolve(
    client,
    tables[0]!.columns.map(({ typeOid }) => typeOid),
  );
  return planOf(client, bound, types, publication, server);
}

async function planOf(
  client: Client,
  bound: readonly BoundWatcher[],
  types: TypeCatalog,
  publication: string,
  server: Pick<Server, 'major'>,
): Promise<ReadPlan> {
  const { table } = bound[0]!;
  return {
    table,
    plan: planRelation(asRelation(table), bound, types)!,
    order: await keyOrderOf(client, bound[0]!),
    filter: server.major < since.columnLists ? undefined : await filterOf(client, publication, table),
    baseType: (typeOid) => types.baseType(typeOid),
  };
}

/** How the keys of its table are ordered. @throws WatchError CONFIGURATION without a unique index */
export function keyOrderOf(client: Client, { table, watcher, primaryKey }: BoundWatcher): Promise<KeyOrder> {
  return KeyOrder.read(
    client,
    table,
    primaryKey.map((name) => databaseName(watcher.table, name)),
  );
}

/** The columns that are read, by their names in the database. */
export function columnsRead(bound: readonly BoundWatcher[]): readonly string[] {
  return [...new Set(bound.flatMap(columnsOf))];
}

/** A table that is not there under its name was renamed or dropped. */
async function gone(client: Client, { table }: Watcher, known: BoundWatcher | undefined): Promise<TableChanged> {
  const name = quoteTable(table);
  if (!known) return new TableDropped(`there is no table ${name}`);
  const { rows } = await client.query<{ name: string }>(
    'select c.oid::pg_catalog.regclass::pg_catalog.text as name from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) $1::pg_catalog.oid',
    [known.table.oid],
  );
  return rows[0]
    ? new TableChanged(`the table ${name} is called ${rows[0].name} now`)
    : new TableDropped(`the table ${name} was dropped`);
}

/** Undefined where it cannot be estimated: never analyzed, or only some rows are read. */
export async function estimateRows(client: Client, { table, filter }: ReadPlan): Promise<number | undefined> {
  if (filter !== undefined) return undefined;
  const { oid, leaves } = table as Table;
  const { rows } = await client.query<{ rows: number | null }>(
    `select case when pg_catalog.min(c.reltuples) operator(pg_catalog.>=) 0 then pg_catalog.sum(c.reltuples)::pg_catalog.float8 end as rows
     from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) any ($1::pg_catalog.oid[])`,
    [leaves.length > 0 ? leaves.map((leaf) => leaf.oid) : [oid]],
  );
  return rows[0]?.rows ?? undefined;
}

async function filterOf(client: Client, publication: string, { oid }: Table): Promise<string | undefined> {
  const { rows } = await client.query<{ filter: string | null }>(
    `select pg_catalog.pg_get_expr(r.prqual, r.prrelid) as filter
     from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid operator(pg_catalog.=) r.prpubid
     where p.pubname operator(pg_catalog.=) $1 and r.prrelid operator(pg_catalog.=) $2::pg_catalog.oid`,
    [publication, oid],
  );
  return rows[0]?.filter ?? undefined;
}

/** The columns that the publication's row filter uses: its own, not those of the watchers. */
export async function filterColumns(
  client: Client,
  publication: string,
  { oid }: Pick<Table, 'oid'>,
): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select a.attname as name
     from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid operator(pg_catalog.=) r.prpubid
     cross join lateral pg_catalog.regexp_matches(r.prqual::pg_catalog.text, ':varattno ([0-9]+)', 'g') found(number)
     join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) r.prrelid and a.attnum operator(pg_catalog.=) found.number[1]::pg_catalog.int2
     where p.pubname operator(pg_catalog.=) $1 and r.prrelid operator(pg_catalog.=) $2::pg_catalog.oid`,
    [publication, oid],
  );
  return rows.map(({ name }) => name);
}

const identities = { default: 'd', nothing: 'n', full: 'f', index: 'i' } as const;

/** The table as the stream would describe it. */
function asRelation(table: Table): Relation {
  const { oid, schema, name, replicaIdentity, columns, identityColumns } = table;
  return {
    oid,
    schema,
    name,
    replicaIdentity: identities[replicaIdentity],
    columns: columns.map((column) => ({
      name: column.name,
      typeOid: column.typeOid,
      key: identityColumns.has(column.name),
    })),
  };
}
