import pg from 'pg';
import type { Client } from 'pg';
import { quoteIdentifier, quoteTable, type Server, since } from '../catalog/server.ts';
import type { Table } from '../catalog/tables.ts';
import { WatchError } from '../errors.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { columnsOf } from '../watchers/plan.ts';
import type { UpdateType } from '../watchers/types.ts';

export type Operation = 'insert' | 'update' | 'delete' | 'truncate';

/** A publication as the catalog has it. */
export interface Publication {
  readonly oid: number;
  readonly allTables: boolean;
  readonly operations: ReadonlySet<Operation>;
  readonly viaRoot: boolean;
  /** Carries stored generated columns. */
  readonly generatedColumns: boolean;
  /** Tables that were added by name. */
  readonly listed: readonly { readonly oid: number; readonly schema: string; readonly name: string }[];
  /** `schema.table`, quoted, of all it carries, for whatever reason. */
  readonly carried: ReadonlySet<string>;
  readonly comment: string | null;
}

/** What the watchers need of a publication. */
export interface PublicationNeeds {
  readonly name: string;
  readonly tables: readonly Table[];
  readonly operations: ReadonlySet<Operation>;
  /** Stored generated columns are wanted, or must be carried for updates not to be refused (PostgreSQL 18+). */
  readonly generatedColumns: boolean;
}

const operationOf: Readonly<Record<UpdateType, Operation>> = {
  inserted: 'insert', updated: 'update', deleted: 'delete', truncated: 'truncate',
}; // prettier-ignore

export function publicationNeeds(
  name: string,
  bound: readonly BoundWatcher[],
  server: Pick<Server, 'major'>,
): PublicationNeeds {
  const tables = [...new Map(bound.map(({ table }) => [table.oid, table])).values()];
  const isStored = (table: Table, column: string) =>
    table.columns.some(({ name, generated }) => name === column && generated === 'stored');
  return {
    name,
    tables,
    operations: new Set(bound.map(({ watcher }) => operationOf[watcher.type])),
    generatedColumns:
      server.major >= since.generatedColumns &&
      (bound.some((one) => columnsOf(one).some((column) => isStored(one.table, column))) ||
        tables.some(
          (table) => table.replicaIdentity === 'full' && table.columns.some(({ generated }) => generated === 'stored'),
        )),
  };
}

/** Undefined: there is none of this name. */
export async function readPublication(
  client: Client,
  name: string,
  server: Pick<Server, 'major'>,
): Promise<Publication | undefined> {
  const generated = server.major >= since.generatedColumns ? "p.pubgencols <> 'n'" : 'false';
  const { rows } = await client.query(
    `select p.oid, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot, ${generated} as generated_columns,
            pg_catalog.obj_description(p.oid, 'pg_publication') as comment,
            coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname))
                      from pg_catalog.pg_publication_rel r join pg_catalog.pg_class c on c.oid = r.prrelid
                      join pg_catalog.pg_namespace n on n.oid = c.relnamespace where r.prpubid = p.oid), '[]') as listed,
            coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object('schema', t.schemaname, 'name', t.tablename))
                      from pg_catalog.pg_publication_tables t where t.pubname = p.pubname), '[]') as carried
     from pg_catalog.pg_publication p where p.pubname = $1`,
    [name],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  const operations = new Set<Operation>();
  for (const operation of ['insert', 'update', 'delete', 'truncate'] as const)
    if (row[`pub${operation}`]) operations.add(operation);
  return {
    oid: row.oid,
    allTables: row.puballtables,
    operations,
    viaRoot: row.pubviaroot,
    generatedColumns: row.generated_columns,
    listed: row.listed,
    carried: new Set(row.carried.map(quoteTable)),
    comment: row.comment,
  };
}

export function createPublication({ name, tables, operations, generatedColumns }: PublicationNeeds): string {
  const list = tables.length === 0 ? '' : ` FOR TABLE ${tables.map(only).join(', ')}`;
  return `CREATE PUBLICATION ${quoteIdentifier(name)}${list} WITH (${optionList(operations, generatedColumns)})`;
}

/** What must be added before changes are read. Empty: nothing. */
export function widenPublication(needs: PublicationNeeds, publication: Publication): string[] {
  const { name, operations, generatedColumns } = needs;
  const statements: string[] = [];
  const missing = needs.tables.filter((table) => !publication.carried.has(quoteTable(table)));
  const alter = `ALTER PUBLICATION ${quoteIdentifier(name)}`;
  const rooted = !publication.viaRoot && needs.tables.some((table) => table.kind === 'p' || table.ancestors.length > 0);
  const generated = generatedColumns && !publication.generatedColumns;
  if (rooted || generated || [...operations].some((operation) => !publication.operations.has(operation))) {
    const both = new Set([...publication.operations, ...operations]);
    statements.push(`${alter} SET (${optionList(both, generatedColumns)})`);
  }
  const listed = missing.filter((table) => !publication.listed.some(({ oid }) => oid === table.oid));
  if (listed.length > 0 && !publication.allTables) statements.push(`${alter} ADD TABLE ${listed.map(only).join(', ')}`);
  return statements;
}

/** What is no longer needed: to be taken away only by the one who holds the slot. */
export function narrowPublication(needs: PublicationNeeds, publication: Publication): string[] {
  const { name, operations } = needs;
  const statements: string[] = [];
  const alter = `ALTER PUBLICATION ${quoteIdentifier(name)}`;
  const wanted = new Set(needs.tables.map((table) => table.oid));
  const superfluous = publication.listed.filter(({ oid }) => !wanted.has(oid));
  if (superfluous.length > 0) statements.push(`${alter} DROP TABLE ${superfluous.map(only).join(', ')}`);
  if ([...publication.operations].some((operation) => !operations.has(operation))) {
    statements.push(`${alter} SET (${optionList(operations, needs.generatedColumns)})`);
  }
  return statements;
}

/** Without the tables that inherit from it, which are tables of their own; partitions come along all the same. */
function only(table: { readonly schema: string; readonly name: string }): string {
  return `ONLY ${quoteTable(table)}`;
}

function optionList(operations: ReadonlySet<Operation>, generatedColumns: boolean): string {
  const list = `publish = '${[...operations].join(', ')}', publish_via_partition_root = true`;
  return generatedColumns ? `${list}, publish_generated_columns = stored` : list;
}

/** Milliseconds that a change of the publication waits for a lock, before it lets the application pass and tries again later. */
const lockTimeout = 2000;

/**
 * Runs statements in one transaction, one worker at a time: workers of a rolling deploy change the same publication.
 * `decide` sees the publication as it is once the lock is held.
 */
export async function alterPublication(
  client: Client,
  name: string,
  server: Pick<Server, 'major'>,
  decide: (publication: Publication | undefined) => readonly string[],
): Promise<readonly string[]> {
  await client.query('begin');
  try {
    await client.query(`set local lock_timeout = ${lockTimeout}`);
    await client.query(
      `select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('walwatch'), pg_catalog.hashtext($1))`,
      [name],
    );
    const statements = decide(await readPublication(client, name, server));
    for (const statement of statements) await client.query(statement);
    await client.query('commit');
    return statements;
  } catch (error) {
    await client.query('rollback').catch(() => {}); // what failed is thrown; a lost connection rolls back by itself
    throw error;
  }
}

export function commentOnPublication(name: string, comment: string): string {
  return `COMMENT ON PUBLICATION ${quoteIdentifier(name)} IS ${pg.escapeLiteral(comment)}`;
}

/** Undefined: it is gone. */
export async function readPublicationOid(client: Client, name: string): Promise<number | undefined> {
  const { rows } = await client.query<{ oid: number }>('select oid from pg_catalog.pg_publication where pubname = $1', [
    name,
  ]);
  return rows[0]?.oid;
}

interface FallenOut {
  readonly table: Table;
  /** Of the table that has its name now. */
  readonly oid: number | undefined;
}

const internalError = 'XX000';

/** The tables that the publication does not carry any more, and what became of them. */
export async function readFallenOut(client: Client, needs: PublicationNeeds): Promise<FallenOut[]> {
  try {
    return await lookForFallenOut(client, needs);
  } catch (error) {
    // pg_publication_tables fails with "could not open relation" when a table is dropped meanwhile; then it is gone.
    if ((error as { code?: string }).code !== internalError) throw error;
    return await lookForFallenOut(client, needs);
  }
}

async function lookForFallenOut(client: Client, { name, tables }: PublicationNeeds): Promise<FallenOut[]> {
  if (tables.length === 0) return [];
  const { rows } = await client.query<{ schema: string; name: string; oid: number; carried: boolean }>(
    `select n.nspname as schema, c.relname as name, c.oid,
            exists (select from pg_catalog.pg_publication_tables t
                    where t.pubname = $3 and t.schemaname = n.nspname and t.tablename = c.relname) as carried
     from unnest($1::text[], $2::text[]) w(schema, name)
     join pg_catalog.pg_namespace n on n.nspname = w.schema
     join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name`,
    [tables.map((table) => table.schema), tables.map((table) => table.name), name],
  );
  return tables.flatMap((table) => {
    const now = rows.find((row) => row.schema === table.schema && row.name === table.name);
    return now?.carried && now.oid === table.oid ? [] : [{ table, oid: now?.oid }];
  });
}

/** A watched table is no longer what the publication carries. */
export function fallenOut(publication: string, table: Table, oid: FallenOut['oid']): WatchError {
  const lost = `${quoteTable(table)} fell out of the publication '${publication}'`;
  if (oid === undefined) {
    return new WatchError('PUBLICATION_CHANGED', `${lost}: it was dropped or renamed`, {
      solution: 'Deploy watchers without it. Or make it anew, and add it to the publication in the same transaction.',
    });
  }
  return new WatchError(
    'PUBLICATION_CHANGED',
    `${lost}: it was dropped and made anew (OID ${oid}), or taken out by hand`,
    {
      solution:
        `Its changes are not seen until it is added: ALTER PUBLICATION ${quoteIdentifier(publication)} ADD TABLE ${only(table)}; ` +
        `(a restart does so with manage: 'create'). In migrations, add it in the transaction that makes it.`,
    },
  );
}

/** It was missing while changes were written: PostgreSQL can not tell any more whether they were meant. */
export function publicationLost(
  reason: string,
  names: { readonly slot: string; readonly publication: string },
  cause?: unknown,
): WatchError {
  return new WatchError('PUBLICATION_LOST', reason, {
    solution:
      `Changes written without the publication can not be decoded. Bring what depends on the events up to date, then start anew: ` +
      `SELECT pg_drop_replication_slot('${names.slot}'); DROP PUBLICATION IF EXISTS ${quoteIdentifier(names.publication)};`,
    cause,
  });
}
