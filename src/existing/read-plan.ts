import type { Client } from 'pg';
import type { Relation } from '../postgres/pgoutput/messages.ts';
import { type Server, since } from '../postgres/server.ts';
import type { Table } from '../postgres/tables.ts';
import type { TypeCatalog } from '../postgres/types.ts';
import { type BoundWatcher, databaseName } from '../watchers/bind.ts';
import { planRelation } from '../watchers/plan.ts';
import type { ReadPlan } from './chunk.ts';
import { KeyOrder } from './key-order.ts';

/** What it takes to read the rows of a table for these watchers, all of them `inserted` and of this table. */
export async function readPlan(
  client: Client,
  bound: readonly BoundWatcher[],
  types: TypeCatalog,
  { publication, server }: { readonly publication: string; readonly server: Pick<Server, 'major'> },
): Promise<ReadPlan> {
  const { table, watcher, primaryKey } = bound[0]!;
  const key = primaryKey.map((name) => databaseName(watcher.table, name));
  const order = await KeyOrder.read(client, table, key);
  const filter = server.major < since.columnLists ? undefined : await filterOf(client, publication, table);
  return {
    table,
    plan: planRelation(asRelation(table), bound, types)!,
    order,
    filter,
    baseType: (typeOid) => types.baseType(typeOid),
  };
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
