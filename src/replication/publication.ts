import pg from 'pg';
import type { Client } from 'pg';
import { quoteIdentifier, quoteTable } from '../catalog/server.ts';
import type { Table } from '../catalog/tables.ts';
import { WatchError } from '../errors.ts';
import type { UpdateType } from '../watchers/types.ts';

export type Operation = 'insert' | 'update' | 'delete' | 'truncate';

/** A publication as the catalog has it. */
export interface Publication {
  readonly oid: number;
  readonly allTables: boolean;
  readonly operations: ReadonlySet<Operation>;
  readonly viaRoot: boolean;
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
}

const operationOf: Readonly<Record<UpdateType, Operation>> = {
  inserted: 'insert', updated: 'update', deleted: 'delete', truncated: 'truncate',
}; // prettier-ignore

export function publicationNeeds(
  name: string,
  bound: readonly { readonly table: Table; readonly watcher: { readonly type: UpdateType } }[],
): PublicationNeeds {
  return {
    name,
    tables: [...new Map(bound.map(({ table }) => [table.oid, table])).values()],
    operations: new Set(bound.map(({ watcher }) => operationOf[watcher.type])),
  };
}

/** Undefined: there is none of this name. */
export async function readPublication(client: Client, name: string): Promise<Publication | undefined> {
  const { rows } = await client.query(
    `select p.oid, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
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
    listed: row.listed,
    carried: new Set(row.carried.map(quoteTable)),
    comment: row.comment,
  };
}

export function createPublication({ name, tables, operations }: PublicationNeeds): string {
  const list = tables.length === 0 ? '' : ` FOR TABLE ${tables.map(quoteTable).join(', ')}`;
  return `CREATE PUBLICATION ${quoteIdentifier(name)}${list} WITH (${optionList(operations)})`;
}

/** What must be added before changes are read. Empty: nothing. */
export function widenPublication(needs: PublicationNeeds, publication: Publication): string[] {
  const { name, operations } = needs;
  const statements: string[] = [];
  const missing = needs.tables.filter((table) => !publication.carried.has(quoteTable(table)));
  const alter = `ALTER PUBLICATION ${quoteIdentifier(name)}`;
  const rooted = !publication.viaRoot && needs.tables.some((table) => table.kind === 'p' || table.ancestors.length > 0);
  if (rooted || [...operations].some((operation) => !publication.operations.has(operation))) {
    statements.push(`${alter} SET (${optionList(new Set([...publication.operations, ...operations]))})`);
  }
  const listed = missing.filter((table) => !publication.listed.some(({ oid }) => oid === table.oid));
  if (listed.length > 0 && !publication.allTables)
    statements.push(`${alter} ADD TABLE ${listed.map(quoteTable).join(', ')}`);
  return statements;
}

/** What is no longer needed: to be taken away only by the one who holds the slot. */
export function narrowPublication(needs: PublicationNeeds, publication: Publication): string[] {
  const { name, operations } = needs;
  const statements: string[] = [];
  const alter = `ALTER PUBLICATION ${quoteIdentifier(name)}`;
  const wanted = new Set(needs.tables.map((table) => table.oid));
  const superfluous = publication.listed.filter(({ oid }) => !wanted.has(oid));
  if (superfluous.length > 0) statements.push(`${alter} DROP TABLE ${superfluous.map(quoteTable).join(', ')}`);
  if ([...publication.operations].some((operation) => !operations.has(operation))) {
    statements.push(`${alter} SET (${optionList(operations)})`);
  }
  return statements;
}

function optionList(operations: ReadonlySet<Operation>): string {
  return `publish = '${[...operations].join(', ')}', publish_via_partition_root = true`;
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
  decide: (publication: Publication | undefined) => readonly string[],
): Promise<readonly string[]> {
  await client.query('begin');
  try {
    await client.query(`set local lock_timeout = ${lockTimeout}`);
    await client.query(
      `select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('walwatch'), pg_catalog.hashtext($1))`,
      [name],
    );
    const statements = decide(await readPublication(client, name));
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
