/** Workers in processes of their own that copy a table (test/programs/copier.ts), and writers that change it in the meantime. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, onTestFinished } from 'vitest';
import type { Database } from './database.ts';
import { until } from './until.ts';

interface CopierLine {
  readonly started?: boolean;
  readonly done?: boolean;
  readonly error?: string;
  readonly failed?: string;
  readonly warning?: string;
}

export interface Copier {
  readonly process: ChildProcess;
  readonly lines: readonly CopierLine[];
  /** Ends it, with SIGKILL unless told otherwise. */
  end(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

export async function makeCopyTables(db: Pick<Database, 'sql'>, rows: number): Promise<void> {
  await db.sql(`drop table if exists items, copy, handled, wrong;
                create table items (id int primary key, version int not null default 0);
                alter table items replica identity full;
                create table copy (id int primary key, version int not null);
                create table handled (event_id text, existing boolean);
                create table wrong (what text);
                insert into items (id) select n * 2 from generate_series(1, ${rows}) n; analyze items`);
}

export function startCopier(db: Pick<Database, 'url'>, slot: string, mode: 'plain' | 'single' | 'batch'): Copier {
  const lines: CopierLine[] = [];
  const child = spawn(process.execPath, ['.build/test/programs/copier.js', db.url, slot, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  createInterface(child.stdout!).on('line', (line) => lines.push(JSON.parse(line) as CopierLine));
  const end = async (signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL') => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  };
  onTestFinished(() => end());
  return { process: child, lines, end };
}

/** Four of them, with all that may go wrong in a transaction. Returns what ends them. */
export function writeTo(
  db: Pick<Database, 'client' | 'sql'>,
  table: string,
  { pause = 0, keys = true }: { readonly pause?: number; readonly keys?: boolean } = {},
): () => Promise<void> {
  let writing = true;
  const random = (most: number) => 1 + Math.floor(Math.random() * most);
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    const client = await db.client();
    if (writer === 3) await client.query('set synchronous_commit = off');
    for (let round = 0; writing; round++) {
      const [id, other] = [random(4000), random(4000)];
      const bump = (one: number) => `update ${table} set version = version + 1 where id = ${one}`;
      const gid = `${table}_${process.pid}_${writer}_${round}`;
      const transactions = [
        `update ${table} set version = version + 1 where id between ${id} and ${id + 3}`,
        `insert into ${table} (id) values (${id}) on conflict (id) do update set version = ${table}.version + 1`,
        `delete from ${table} where id = ${id}`,
        keys ? `update ${table} set id = ${other}, version = version + 1 where id = ${id}` : bump(other),
        `begin; savepoint a; ${bump(id)}; rollback to a; ${bump(id)}; savepoint b; ${bump(other)}; commit`,
        `begin; ${bump(id)}; prepare transaction '${gid}'; ${'select pg_sleep(0.002)'}; commit prepared '${gid}'`,
        `begin; ${bump(id)}; rollback`,
      ];
      const statements = transactions[round % transactions.length]!;
      try {
        for (const statement of statements.split('; ')) await client.query(statement);
      } catch {
        await client.query('rollback').catch(() => {});
      }
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    }
  });
  return async () => {
    writing = false;
    await Promise.all(writers);
    for (const { gid } of await db.sql<{ gid: string }>(
      `select gid from pg_prepared_xacts where database = current_database()`,
    ))
      await db.sql(`rollback prepared '${gid}'`);
  };
}

/**
 * The copy has become the table, nothing went wrong on the way, and nothing was handled twice. `keys`: another row may get the key of one
 * that was read. `recorded`: with `transaction: true`, without which a crash repeats events.
 */
export async function expectCopied(
  db: Pick<Database, 'sql'>,
  copiers: readonly Copier[],
  { keys = true, recorded = true }: { readonly keys?: boolean; readonly recorded?: boolean } = {},
): Promise<void> {
  const lines = copiers.flatMap((one) => one.lines);
  await until(
    async () => {
      const [row] = await db.sql<{ differ: number }>(
        `select count(*)::int as differ from (
           (table items except table copy) union all (table copy except table items)) d`,
      );
      return row!.differ === 0;
    },
    { describe: () => `the copy to be like the table; the workers said ${JSON.stringify(lines)}`, timeout: 30_000 },
  );
  expect(await db.sql('select what from wrong')).toEqual([]);
  const twice = `select event_id from handled where not existing or $1 group by event_id having count(*) > 1`;
  if (recorded) expect(await db.sql(twice, [!keys])).toEqual([]);
  expect(lines.filter(({ failed, error }) => failed ?? error)).toEqual([]);
}
