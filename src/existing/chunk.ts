import type { Client, CustomTypesConfig, FieldDef } from 'pg';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { TupleValue } from '../postgres/pgoutput/messages.ts';
import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { parseSnapshot, type Snapshot } from '../stream/visibility.ts';
import type { RelationPlan } from '../watchers/plan.ts';
import type { KeyChange } from './key-changes.ts';
import type { KeyOrder, KeyTexts } from './key-order.ts';

/** What a table's rows are read with. */
export interface ReadPlan {
  readonly table: { readonly oid: number; readonly schema: string; readonly name: string; readonly kind: string };
  readonly plan: RelationPlan;
  readonly order: KeyOrder;
  /** The publication's row filter, as SQL. */
  readonly filter: string | undefined;
  /** Of a domain. */
  readonly baseType: (typeOid: number) => number;
}

export interface ChunkRequest {
  /** The rows after this key. Undefined: from the first one on. */
  readonly after: KeyTexts | undefined;
  readonly end: KeyTexts | undefined;
  readonly limit: number;
  /** Rows that changed their key, which the range may not reach. */
  readonly moved: readonly KeyChange[];
}

export interface ReadRow {
  readonly key: KeyTexts;
  /** In the order of the plan's wanted columns. */
  readonly row: readonly TupleValue[];
  /** It comes from the list, and says nothing about how far the range was read. */
  readonly reread: boolean;
}

export interface Chunk {
  readonly snapshot: Snapshot;
  /** Everything that the snapshot sees was written before this position. */
  readonly lsn: Lsn;
  /** Of our slot: undefined when another server answers, or nobody has the slot. */
  readonly activePid: number | undefined;
  readonly rows: readonly ReadRow[];
  /** How many rows of the range were scanned, also those that the filter does not let pass. */
  readonly scanned: number;
  /** The last key that was scanned. Undefined: the range has no more rows. */
  readonly last: KeyTexts | undefined;
}

/** The table is not as the stream knows it. */
export class TableChanged extends Error {}

const ofTable: readonly (string | undefined)[] = [sqlState.undefinedColumn, sqlState.undefinedTable];

function changed(error: unknown): unknown {
  const { code, message } = error as { code?: string; message: string };
  return ofTable.includes(code) ? new TableChanged(message, { cause: error }) : error;
}

/** Values come as the server writes them, as they do in the stream. */
const types = { getTypeParser: () => (text: string) => text } as CustomTypesConfig;

/** `FROM ONLY` for a plain table: its children are published as tables of their own. */
export function fromTable(table: ReadPlan['table']): string {
  return table.kind === 'p' ? quoteTable(table) : `only ${quoteTable(table)}`;
}

/**
 * Locks the table against changes of its definition before a snapshot is taken: a rewrite empties the table for older snapshots.
 * A SELECT, and not LOCK TABLE, because it needs a right to the key columns only. The transaction stays open.
 */
export async function lockTable(client: Client, { table, order }: ReadPlan): Promise<void> {
  const names = order.names.map(quoteIdentifier).join(', ');
  try {
    await client.query(
      `begin isolation level read committed read only; select ${names} from ${fromTable(table)} limit 0`,
    );
  } catch (error) {
    await client.query('rollback').catch(() => {}); // a lost connection has ended it
    throw changed(error);
  }
}

/**
 * Reads snapshot, position and rows in one statement, which has one snapshot in READ COMMITTED as well. Ends the transaction.
 *
 * @throws TableChanged
 */
export async function readChunk(client: Client, slot: string, plan: ReadPlan, request: ChunkRequest): Promise<Chunk> {
  try {
    const { rows, fields } = await client.query<(string | null)[]>({
      text: chunkSql(slot, plan, request),
      types,
      rowMode: 'array',
    });
    if (request.end !== undefined) checkTypes(plan, fields); // else there are no columns
    return chunkOf(plan, rows);
  } catch (error) {
    throw changed(error);
  } finally {
    await client.query('rollback').catch(() => {}); // a lost connection has ended it
  }
}

/**
 * One row of facts, then the range, then the list. Columns are selected as they are: a cast to text differs for bool and char(n).
 * The first column says which part a row is of, the second whether the filter lets it pass: the limit counts scanned rows.
 */
function chunkSql(slot: string, { table, plan, order, filter }: ReadPlan, request: ChunkRequest): string {
  const { after, end, limit, moved } = request;
  const columns = plan.wanted.map((index) => quoteIdentifier(plan.relation.columns[index]!.name));
  const key = order.names.map(quoteIdentifier);
  const listed = [...columns, ...key];
  const passes = filter === undefined ? 'true' : `coalesce((${filter}), false)`;
  const nulls = (count: number) => Array.from({ length: count }, () => 'null');
  const facts = [
    'pg_catalog.pg_current_snapshot()::pg_catalog.text',
    'pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text',
    `(select s.active_pid from pg_catalog.pg_replication_slots s where s.slot_name operator(pg_catalog.=) ${quoted(slot)})::pg_catalog.text`,
  ];
  const alias = quoteIdentifier(table.name);
  const select = (part: number, condition: string, rest: string) =>
    `(select ${[part, `${passes}::pg_catalog.text`, ...nulls(3), ...listed].join(', ')} from ${fromTable(table)} as ${alias} where ${condition}${rest})`;
  const parts = [`(select ${[0, 'null', ...facts, ...nulls(listed.length)].join(', ')})`];
  if (end !== undefined) {
    const range = `${order.after(after)} and ${order.upTo(end)}`;
    parts.push(select(1, range, ` order by ${order.ascending} limit ${limit}`));
    for (const { from, to, start } of moved) {
      const unread = order.isBetween(from, start, end);
      parts.push(select(2, `${order.is(to)} and ${unread} and not ${order.isBetween(to, after, end)}`, ''));
    }
  }
  return parts.join(' union all ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`; // a slot has a plain name
}

const factColumns = 5;

/** A column whose type was changed must not be parsed as what it was. */
function checkTypes({ plan, baseType }: ReadPlan, fields: readonly FieldDef[]): void {
  for (const [slot, index] of plan.wanted.entries()) {
    const column = plan.relation.columns[index]!;
    const found = fields[factColumns + slot]!.dataTypeID;
    if (found !== column.typeOid && found !== baseType(column.typeOid))
      throw new TableChanged(`the type of ${column.name} has changed`);
  }
}

function chunkOf({ plan }: ReadPlan, rows: readonly (string | null)[][]): Chunk {
  const facts = rows.find(([part]) => part === '0')!;
  const [, , snapshot, lsn, pid] = facts;
  let last: KeyTexts | undefined;
  let scanned = 0;
  const found: ReadRow[] = [];
  const end = factColumns + plan.wanted.length;
  for (const row of rows) {
    if (row[0] === '0') continue;
    const key = row.slice(end) as string[];
    if (row[0] === '1') {
      last = key;
      scanned++;
    }
    if (row[1] === 'true') found.push({ key, row: row.slice(factColumns, end), reread: row[0] === '2' });
  }
  return {
    snapshot: parseSnapshot(snapshot!, false),
    lsn: parseLsn(lsn!),
    activePid: pid === null || pid === undefined ? undefined : Number(pid),
    rows: found,
    scanned,
    last,
  };
}
