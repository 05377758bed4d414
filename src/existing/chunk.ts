import pg, { type Client, type FieldDef } from 'pg';
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
  /** Waits for the lock on the table first, while changes pass. */
  readonly locks: boolean;
}

export interface ReadRow {
  readonly key: KeyTexts;
  /** Values in the order of the plan's columns. */
  readonly row: readonly TupleValue[];
  /** It comes from the list of moved keys, so it is not part of the range. */
  readonly reread: boolean;
}

/** The server sends it before the first row of a chunk. */
export interface ChunkFacts {
  readonly snapshot: Snapshot;
  /** Everything that the snapshot sees was written before this position. */
  readonly lsn: Lsn;
  /** The WAL up to there was flushed. */
  readonly flushed: boolean;
  /** The process that has our slot. Undefined: another server answered, or the slot is not in use. */
  readonly activePid: number | undefined;
}

/** The result of a chunk, after its last row. */
export interface ChunkEnd {
  /** The last key that was scanned. Undefined: the range has no more rows. */
  readonly last: KeyTexts | undefined;
  /** Rows of the range that were scanned, also those that the filter does not let pass. */
  readonly scanned: number;
  /** The range has no rows after these. */
  readonly exhausted: boolean;
  /** Characters of its rows. */
  readonly bytes: number;
  /** It ends early, because its rows take too much memory. */
  readonly isLarge: boolean;
}

export interface ChunkHost {
  readonly slot: string;
  /** The snapshot was taken. */
  begin(facts: ChunkFacts): void;
  add(row: ReadRow): void;
  /** No more rows are needed: the server may end the statement. */
  cancel(): void;
}

/** A chunk ends when its rows have this many characters. */
export const mostBytes = 4 * 1024 * 1024;

/** The table is not as the stream knows it. */
export class TableChanged extends Error {}

const ofTable: readonly (string | undefined)[] = [sqlState.undefinedColumn, sqlState.undefinedTable];

function changed(error: Error): Error {
  const { code } = error as { code?: string };
  return ofTable.includes(code) ? new TableChanged(error.message, { cause: error }) : error;
}

/** `FROM ONLY` for a plain table: its children are published as separate tables. */
function fromTable(table: ReadPlan['table']): string {
  return table.kind === 'p' ? quoteTable(table) : `only ${quoteTable(table)}`;
}

/** Undefined: the table has no rows. */
export async function lastKey(client: Client, { table, order }: ReadPlan): Promise<KeyTexts | undefined> {
  const names = order.names.map(quoteIdentifier).join(', ');
  const { rows } = await client.query<string[]>({
    text: `select ${names} from ${fromTable(table)} order by ${order.descending} limit 1`,
    rowMode: 'array',
    types: { getTypeParser: () => (text: string) => text } as never,
  });
  return rows[0];
}

/**
 * Waits for a lock on the table, and keeps it: the transaction stays open. A SELECT, and not LOCK TABLE, because it needs a right to
 * the key columns only.
 */
export async function lockTable(client: Client, { table, order }: ReadPlan): Promise<void> {
  const names = order.names.map(quoteIdentifier).join(', ');
  try {
    await client.query(
      `begin isolation level read committed read only; select ${names} from ${fromTable(table)} limit 0`,
    );
  } catch (error) {
    await client.query('rollback').catch(() => {}); // a lost connection has ended it
    throw changed(error as Error);
  }
}

/**
 * Reads snapshot, position and rows in one statement, which has one snapshot in READ COMMITTED as well. The server takes it after it
 * has locked the tables of the statement (exec_simple_query in postgres.c): a rewrite empties a table for older snapshots. Rows are
 * counted as they come: a chunk of large rows ends early.
 *
 * @throws TableChanged
 */
export function readChunk(client: Client, host: ChunkHost, plan: ReadPlan, request: ChunkRequest): Promise<ChunkEnd> {
  const rows = new Arrival(plan, request, host);
  const query = new RowQuery(chunkSql(host.slot, plan, request), rows);
  return new Promise((resolve, reject) => {
    query.on('end', () => (rows.error === undefined ? resolve(rows.result) : reject(rows.error)));
    query.on('error', (error) => {
      const { code } = error as { code?: string };
      if (rows.isLarge && code === sqlState.queryCanceled) resolve(rows.result);
      else reject(changed(error));
    });
    client.query(query);
  });
}

/** Methods of a query that pg calls with messages of the server. Its types lack them. */
interface Answer {
  handleRowDescription(message: { readonly fields: readonly FieldDef[] }): void;
  handleDataRow(message: { readonly fields: (string | null)[] }): void;
}

/** A query whose values stay as the server writes them, as they do in the stream. */
class RowQuery extends pg.Query implements Answer {
  readonly #rows: Arrival;

  constructor(text: string, rows: Arrival) {
    super(text);
    this.#rows = rows;
  }

  handleRowDescription({ fields }: { readonly fields: readonly FieldDef[] }): void {
    this.#rows.fields = fields;
  }

  handleDataRow({ fields }: { readonly fields: (string | null)[] }): void {
    this.#rows.add(fields);
  }
}

/** The rows of a chunk while they come. */
class Arrival {
  fields: readonly FieldDef[] = [];
  readonly #plan: ReadPlan;
  readonly #limit: number;
  readonly #host: ChunkHost;
  /** Where a row has its key. */
  readonly #key: readonly number[];
  #begun = false;
  #last: KeyTexts | undefined;
  #scanned = 0;
  #bytes = 0;
  isLarge = false;
  error: unknown;

  constructor(plan: ReadPlan, { limit }: ChunkRequest, host: ChunkHost) {
    this.#plan = plan;
    this.#limit = limit;
    this.#host = host;
    const { relation, wanted } = plan.plan;
    this.#key = plan.order.names.map((name) => wanted.findIndex((index) => relation.columns[index]!.name === name));
  }

  get result(): ChunkEnd {
    const { isLarge } = this;
    const scanned = this.#scanned;
    const exhausted = !isLarge && scanned < this.#limit;
    return { last: this.#last, scanned, exhausted, bytes: this.#bytes, isLarge };
  }

  /** Must not throw: pg calls it in the socket's callback. */
  add(row: (string | null)[]): void {
    if (this.isLarge || this.error !== undefined) return;
    try {
      if (this.#begun) this.#add(row);
      else this.#begin(row);
    } catch (error) {
      this.error = error;
    }
  }

  #begin(row: readonly (string | null)[]): void {
    if (row.length > 1) checkTypes(this.#plan, this.fields);
    const [snapshot, written, flushed, pid] = row.at(-1)!.split(' ');
    const lsn = parseLsn(written!);
    this.#begun = true;
    this.#host.begin({
      snapshot: parseSnapshot(snapshot!, false),
      lsn,
      flushed: parseLsn(flushed!) >= lsn,
      activePid: pid === '' ? undefined : Number(pid),
    });
  }

  #add(row: (string | null)[]): void {
    const mark = row.pop()!;
    const key = this.#key.map((slot) => row[slot]!);
    const reread = mark === marks.listed || mark === marks.listedOut;
    if (!reread) {
      this.#last = key;
      this.#scanned++;
    }
    if (mark !== null && mark !== marks.listed) return; // the filter does not let it pass
    this.#host.add({ key, row, reread });
    for (const text of row) if (text !== null) this.#bytes += text.length;
    if (this.#bytes <= mostBytes || reread) return;
    this.isLarge = true;
    if (this.#scanned < this.#limit) this.#host.cancel();
  }
}

/** The last column tells where a row comes from. Null: it is in the range, and passes the filter. */
const marks = { out: 'o', listed: 'l', listedOut: 'x' } as const;

/**
 * One row of facts, then the list, then the range, which may end early. Columns are selected as they are: a cast to text differs for
 * bool and char(n). The limit counts scanned rows, and so the filter is a column as well.
 */
function chunkSql(slot: string, { table, plan, order, filter }: ReadPlan, request: ChunkRequest): string {
  const { after, end, limit, moved } = request;
  const columns = plan.wanted.map((index) => quoteIdentifier(plan.relation.columns[index]!.name));
  // In this order: a commit between the two reads must not count as flushed.
  const facts = `pg_catalog.concat_ws(' ', pg_catalog.pg_current_snapshot()::pg_catalog.text,
    pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text, pg_catalog.pg_current_wal_flush_lsn()::pg_catalog.text,
    coalesce((select s.active_pid from pg_catalog.pg_replication_slots s where s.slot_name operator(pg_catalog.=) ${quoted(slot)})::pg_catalog.text, ''))`;
  if (end === undefined) return `select ${facts}`;
  const alias = quoteIdentifier(table.name);
  const select = (passes: string, out: string, condition: string, rest: string) => {
    const mark = filter === undefined ? passes : `case when (${filter}) then ${passes} else '${out}' end`;
    return `(select ${columns.join(', ')}, ${mark}::pg_catalog.text from ${fromTable(table)} as ${alias} where ${condition}${rest})`;
  };
  const parts = [`(select ${columns.map(() => 'null').join(', ')}, ${facts})`];
  for (const { from, to, start } of moved) {
    const unread = order.isDeferrable ? 'true' : order.isBetween(from, start, end);
    const condition = `${order.is(to)} and ${unread} and not ${order.isBetween(to, after, end)}`;
    parts.push(select(`'${marks.listed}'`, marks.listedOut, condition, ''));
  }
  const range = `${order.after(after)} and ${order.upTo(end)}`;
  parts.push(select('null', marks.out, range, ` order by ${order.ascending} limit ${limit}`));
  return parts.join(' union all ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`; // a slot has a plain name
}

/** A column whose type was changed must not be parsed as what it was. */
function checkTypes({ plan, baseType }: ReadPlan, fields: readonly FieldDef[]): void {
  for (const [slot, index] of plan.wanted.entries()) {
    const column = plan.relation.columns[index]!;
    const found = fields[slot]!.dataTypeID;
    if (found !== column.typeOid && found !== baseType(column.typeOid))
      throw new TableChanged(`the type of ${column.name} has changed`);
  }
}
