import type { Client } from 'pg';
import { quoteIdentifier, quoteLiteral, quoteTable, type Server, since } from '../postgres/server.ts';
import { inOrder } from '../postgres/round-trip.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { readTables, type Table } from '../postgres/tables.ts';
import { WatchError } from '../errors.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { columnsOf } from '../watchers/plan.ts';
import type { UpdateType } from '../types/watchers.ts';
import { carriedTables } from './carried.ts';
import { heldLock } from './lock-holder.ts';
import { addition, type Entry, type PushedDown } from './pushed-down.ts';

export type Operation = 'insert' | 'update' | 'delete' | 'truncate';

/** A table that is listed by name in a publication. */
export interface ListedTable extends Entry {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Columns of the row filter that are not part of the replica identity. */
  readonly outside: readonly string[];
}

/** A publication as it is in the catalog. */
export interface Publication {
  readonly oid: number;
  readonly allTables: boolean;
  /** Carries all tables of some schemas (FOR TABLES IN SCHEMA). */
  readonly ofSchemas: boolean;
  readonly operations: ReadonlySet<Operation>;
  readonly viaRoot: boolean;
  /** Carries stored generated columns. */
  readonly generatedColumns: boolean;
  readonly listed: readonly ListedTable[];
  /** All tables it carries, for any reason: `schema.table`, quoted. */
  readonly carried: ReadonlySet<string>;
  readonly comment: string | null;
}

/** What the watchers need of a publication. */
export interface PublicationNeeds {
  readonly name: string;
  readonly tables: readonly Table[];
  readonly operations: ReadonlySet<Operation>;
  /** Stored generated columns are needed, or must be carried so that PostgreSQL does not refuse updates (PostgreSQL 18+). */
  readonly generatedColumns: boolean;
  /** By the OIDs of the tables. */
  readonly pushedDown: ReadonlyMap<number, PushedDown>;
}

const operationOf: Readonly<Record<UpdateType, Operation>> = {
  inserted: 'insert', updated: 'update', deleted: 'delete', truncated: 'truncate',
}; // prettier-ignore

export function publicationNeeds(
  name: string,
  bound: readonly BoundWatcher[],
  server: Pick<Server, 'major'>,
): Omit<PublicationNeeds, 'pushedDown'> {
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

/** Row filters as text, by their expression trees. PostgreSQL locks a table to turn its filter into text, so known texts are kept. */
export type FilterTexts = Map<string, string>;

/** Undefined: it does not exist. Locks no table, unless one has a row filter that is not in `texts`. */
export async function readPublication(
  client: Client,
  name: string,
  server: Pick<Server, 'major'>,
  texts: FilterTexts = new Map(),
): Promise<Publication | undefined> {
  return withFilters(client, await listPublication(client, name, server), texts);
}

/** The part of a publication that one statement can read without locking a table. */
export type Listing = Omit<Publication, 'listed'> & { readonly listed: readonly ListedRow[] };

export async function listPublication(
  client: Client,
  name: string,
  server: Pick<Server, 'major'>,
): Promise<Listing | undefined> {
  const generated = server.major >= since.generatedColumns ? "p.pubgencols <> 'n'" : 'false';
  const lists = server.major >= since.columnLists;
  const ofSchemas = lists
    ? 'exists (select from pg_catalog.pg_publication_namespace s where s.pnpubid = p.oid)'
    : 'false';
  const { rows } = await client.query(
    `select p.oid, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot, ${generated} as generated_columns,
            ${ofSchemas} as of_schemas,
            pg_catalog.obj_description(p.oid, 'pg_publication') as comment,
            coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname${lists ? entries : ''}))
                      from pg_catalog.pg_publication_rel r join pg_catalog.pg_class c on c.oid = r.prrelid
                      join pg_catalog.pg_namespace n on n.oid = c.relnamespace where r.prpubid = p.oid), '[]') as listed,
            coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object('schema', n.nspname, 'name', c.relname))
                      from (${carriedTables(lists)}) t join pg_catalog.pg_class c on c.oid = t.oid
                      join pg_catalog.pg_namespace n on n.oid = c.relnamespace), '[]') as carried
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
    ofSchemas: row.of_schemas,
    allTables: row.puballtables,
    operations,
    viaRoot: row.pubviaroot,
    generatedColumns: row.generated_columns,
    listed: row.listed,
    carried: new Set(row.carried.map(quoteTable)),
    comment: row.comment,
  };
}

/** Only the filter's node tree distinguishes its columns from those of the column list. */
const entries = `,
  'columns', (select pg_catalog.json_agg(a.attname order by a.attnum) from pg_catalog.pg_attribute a
              where a.attrelid = r.prrelid and a.attnum = any (r.prattrs::int2[])),
  'tree', pg_catalog.md5(r.prqual::text),
  'filtered', (select pg_catalog.json_agg(distinct a.attname)
               from pg_catalog.regexp_matches(r.prqual::text, ':varattno (\\d+)', 'g') v(found)
               join pg_catalog.pg_attribute a on a.attrelid = r.prrelid and a.attnum = v.found[1]::int2)`;

interface ListedRow {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns?: string[] | null;
  /** A hash of the filter's expression tree. */
  readonly tree?: string | null;
  /** Columns of the filter. */
  readonly filtered?: string[] | null;
}

/** Completes a listing with what only publications with row filters have. */
export async function withFilters(
  client: Client,
  listing: Listing | undefined,
  texts: FilterTexts = new Map(),
): Promise<Publication | undefined> {
  if (!listing) return undefined;
  const keyOf = ({ oid, tree }: Pick<ListedRow, 'oid' | 'tree'>) => `${oid} ${tree}`;
  const filtered = listing.listed.filter((row) => row.tree);
  const unread = filtered.filter((row) => !texts.has(keyOf(row)));
  const [read, tables] = await Promise.all([
    unread.length > 0 ? readFilters(client, listing.oid, unread) : [],
    filtered.length > 0 ? readTables(client, filtered) : [],
  ]);
  for (const row of read) if (row.where !== null) texts.set(keyOf(row), row.where);
  const listed = listing.listed.map((row): ListedTable => {
    const { oid, schema, name, columns, filtered: used } = row;
    const known = tables.find((table) => table.oid === oid)?.identityColumns;
    const outside = (used ?? []).filter((column) => !known?.has(column));
    return { oid, schema, name, columns: columns ?? undefined, where: texts.get(keyOf(row)), outside };
  });
  return { ...listing, listed };
}

async function readFilters(client: Client, publication: number, unread: readonly ListedRow[]) {
  const { rows } = await client.query<{ oid: number; tree: string; where: string | null }>(
    `select prrelid as oid, pg_catalog.md5(prqual::text) as tree, pg_catalog.pg_get_expr(prqual, prrelid) as "where"
     from pg_catalog.pg_publication_rel where prpubid = $1 and prrelid = any ($2::pg_catalog.oid[])`,
    [publication, unread.map(({ oid }) => oid)],
  );
  return rows;
}

/** Milliseconds that a change of the publication waits for a lock. Then it gives up, so that the application can continue, and is tried again later. */
export const lockTimeout = 2000;

/**
 * Runs statements in one transaction, one worker at a time, because the workers of a rolling deploy change the same publication.
 * `decide` gets the publication as it is while the lock is held.
 */
export async function alterPublication(
  client: Client,
  name: string,
  server: Pick<Server, 'major'>,
  decide: (publication: Publication | undefined) => readonly string[],
): Promise<readonly string[]> {
  let locked = false;
  try {
    const [, , listing] = await inOrder([
      client.query(`begin isolation level read committed; set local lock_timeout = ${lockTimeout}`),
      client
        .query(`select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext($1), pg_catalog.hashtext($2))`, [
          lockSpace,
          name,
        ])
        .then(() => (locked = true)),
      listPublication(client, name, server),
    ]);
    const statements = decide(await withFilters(client, listing));
    await inOrder([...statements, 'commit'].map((statement) => client.query(statement)));
    return statements;
  } catch (error) {
    await client.query('rollback').catch(() => {}); // the original error is thrown; a lost connection rolls back on the server
    if (locked || sqlStateOf(error) !== sqlState.lockNotAvailable) throw error;
    const what = `a change of the publication '${name}'`;
    throw (await heldLock(client, [lockSpace, name], { code: 'SERVER_BUSY', what, cause: error })) ?? error;
  }
}

const lockSpace = 'walwatch';

export function commentOnPublication(name: string, comment: string): string {
  return `COMMENT ON PUBLICATION ${quoteIdentifier(name)} IS ${quoteLiteral(comment)}`;
}

/** The publication no longer carries a watched table. */
export function fallenOut(publication: string, table: Table, oid: number | undefined, entry?: Entry): WatchError {
  const lost = `${quoteTable(table)} is no longer in the publication '${publication}'`;
  if (oid === undefined) {
    return new WatchError('PUBLICATION_CHANGED', `${lost}: it was dropped or renamed`, {
      solution:
        'Deploy watchers without it. Or create it again, and add it to the publication in the same transaction.',
    });
  }
  return new WatchError(
    'PUBLICATION_CHANGED',
    `${lost}: it was dropped and re-created (OID ${oid}), or removed by hand`,
    {
      solution:
        `Its changes are missed until it is added: ALTER PUBLICATION ${quoteIdentifier(publication)} ADD TABLE ${addition(table, entry)}; ` +
        `(a restart does that with manage: 'create'). In migrations, add it in the transaction that creates it.`,
    },
  );
}

/** The publication was missing while changes were written: PostgreSQL cannot tell whether they belonged to it. */
export function publicationLost(
  reason: string,
  names: { readonly slot: string; readonly publication: string },
  cause?: unknown,
): WatchError {
  return new WatchError('PUBLICATION_LOST', reason, {
    solution:
      `Changes that were written without the publication cannot be decoded. Bring what depends on the events up to date, then start from here: ` +
      `SELECT pg_catalog.pg_drop_replication_slot('${names.slot}'); DROP PUBLICATION IF EXISTS ${quoteIdentifier(names.publication)};`,
    cause,
  });
}
