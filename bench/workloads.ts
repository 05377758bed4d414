/** The tables, and the backlogs A to D that are written before they are drained. */
import type pg from 'pg';
import { defineWatchers } from 'walwatch';

export type BacklogName = 'A' | 'B' | 'C' | 'D';

export interface Backlog {
  readonly what: string;
  readonly table: 'accounts' | 'wide';
  readonly type: 'inserted' | 'updated';
  readonly rows: number;
  /** Before the slot is made. */
  readonly prepare: (client: pg.Client, rows: number) => Promise<void>;
  /** After it. */
  readonly write: (client: pg.Client, rows: number) => Promise<void>;
}

/** About 400 bytes a row; two of eight columns are watched. */
const accounts = `create table accounts (
  id int primary key, role_id int, email text, name text, bio text, active boolean, created_at timestamptz, updated_at timestamptz)`;
/** The values of row n. */
export const account = `n, n % 100, 'user' || n || '@example.com', 'Some Name ' || n, repeat('x', 280), true, now(), now()`;
/** 30 columns, of which two are watched. */
const wide = `create table wide (id int primary key, role_id int, ${Array.from({ length: 28 }, (_, n) => `c${n} text`).join(', ')})`;
export const wideRow = `n, n % 100, ${Array.from({ length: 28 }, (_, n) => `'value ' || n || ' of ${n}'`).join(', ')}`;

/** One watcher, called `changed`: key and association. */
export function watchersOf(table: string, type: 'inserted' | 'updated') {
  return defineWatchers([[table, type, { label: 'changed', extraColumns: ['role_id'] }]]);
}

export async function recreateTables(client: pg.Client): Promise<void> {
  await client.query(`drop table if exists accounts, wide; ${accounts}; ${wide}`);
}

async function inTransactionsOf(
  size: number,
  client: pg.Client,
  rows: number,
  table: string,
  values: string,
): Promise<void> {
  for (let from = 1; from <= rows; from += size) {
    await client.query(`insert into ${table} select ${values} from generate_series($1::int, $2::int) n`, [
      from,
      Math.min(from + size - 1, rows),
    ]);
  }
}

const nothing = async () => {};

export const backlogs: Readonly<Record<BacklogName, Backlog>> = {
  A: {
    what: 'inserts in transactions of 1,000',
    table: 'accounts',
    type: 'inserted',
    rows: 1_000_000,
    prepare: nothing,
    write: (client, rows) => inTransactionsOf(1000, client, rows, 'accounts', account),
  },
  B: {
    what: 'updates, each in a separate transaction',
    table: 'accounts',
    type: 'updated',
    rows: 200_000,
    prepare: (client, rows) => inTransactionsOf(10_000, client, Math.min(rows, 20_000), 'accounts', account),
    write: async (client, rows) => {
      await client.query('set synchronous_commit = off');
      await client.query(`do $$ begin for n in 1 .. ${rows} loop
        update accounts set role_id = role_id + 1 where id = 1 + n % 20000; commit; end loop; end $$`);
      await client.query('reset synchronous_commit');
    },
  },
  C: {
    what: 'inserts in one transaction',
    table: 'accounts',
    type: 'inserted',
    rows: 1_000_000,
    prepare: nothing,
    write: (client, rows) => inTransactionsOf(rows, client, rows, 'accounts', account),
  },
  D: {
    what: 'inserts of 30 columns, of which two are watched, in transactions of 1,000',
    table: 'wide',
    type: 'inserted',
    rows: 300_000,
    prepare: nothing,
    write: (client, rows) => inTransactionsOf(1000, client, rows, 'wide', wideRow),
  },
};
