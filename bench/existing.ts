/** N: reading the rows that were in a table before the first start, and what the changes of other rows wait in the meantime. */
import type pg from 'pg';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { linesOf, timesOf, untilIdle, write } from './listening.ts';
import { median, program, rotated, type Row, type Run, runProgram, type Table } from './measure.ts';
import { commandOn } from './route.ts';
import type { BenchServer } from './server.ts';
import { recreateTables } from './workloads.ts';

export const existingKeys = ['bigint', 'uuid'] as const;
export type ExistingKey = (typeof existingKeys)[number];
export const existingHandlers = ['nothing', '1 ms'] as const;

const readers = ['pg-cursor', 'walwatch'] as const;
const slot = 'walwatch_bench';

export async function benchExisting(server: BenchServer, rounds: number, scale: number): Promise<Table[]> {
  const rows = Math.round(1_000_000 * scale);
  for (const key of existingKeys) await fill(server.client, key, rows);
  try {
    return [await reading(server, rows, rounds), await readingLive(server, rows, rounds)];
  } finally {
    await server.client.query(existingKeys.map((key) => `drop table if exists existing_${key};`).join(''));
  }
}

/** Rows of about 400 bytes, as in `accounts`, in a table that autovacuum has looked at. */
async function fill(client: pg.Client, key: ExistingKey, rows: number): Promise<void> {
  const table = `existing_${key}`;
  await client.query(`drop table if exists ${table};
    create table ${table} (id ${key} primary key, role_id int, email text, name text, bio text, active boolean,
                           created_at timestamptz, updated_at timestamptz)`);
  const id = key === 'uuid' ? 'gen_random_uuid()' : 'n';
  await client.query(`insert into ${table} select ${id}, n % 100, 'user' || n || '@example.com', 'Some Name ' || n,
                      repeat('x', 280), true, now(), now() from generate_series(1, ${rows}) n`);
  await client.query(`vacuum analyze ${table}`);
  await client.query('checkpoint');
}

/** N1 */
async function reading(server: BenchServer, rows: number, rounds: number): Promise<Table> {
  const route = server.routes[0]!;
  const contestants = existingKeys.flatMap((key) => readers.map((reader) => ({ key, reader })));
  const runs = new Map<(typeof contestants)[number], (Run & { readonly time: number })[]>(
    contestants.map((contestant) => [contestant, []]),
  );
  for (let round = 0; round < rounds; round++)
    for (const contestant of rotated(contestants, round)) {
      const { key, reader } = contestant;
      const args = [reader, route.url, key, String(rows)];
      const run = await runProgram('existing', args, server.client, { route });
      const { seconds, cpu } = JSON.parse(run.lines.at(-1)!) as { seconds: number; cpu: number };
      runs.get(contestant)!.push({ ...run, client: { ...run.client, cpu }, time: seconds });
      process.stderr.write(`N1 round ${round + 1}: ${reader}, ${key} ${seconds.toFixed(2)} s\n`);
      await clean(server);
    }
  const secondsOf = (key: ExistingKey, reader: string) =>
    median(runs.get(contestants.find((one) => one.key === key && one.reader === reader)!)!.map(({ time }) => time));
  return {
    title: `N1: ${rows} existing rows of about 400 bytes`,
    rows: contestants.map((contestant) => {
      const { key, reader } = contestant;
      const measured = runs.get(contestant)!;
      const seconds = secondsOf(key, reader);
      return {
        key,
        contestant: reader,
        'time, pg-cursor = 1': Number((seconds / secondsOf(key, 'pg-cursor')).toFixed(2)),
        seconds: Number(seconds.toFixed(2)),
        'client CPU s': Number(median(measured.map(({ client }) => client.cpu)).toFixed(2)),
        'peak RSS MB': Math.round(median(measured.map(({ client }) => client.rss)) / 1e6),
      };
    }),
  };
}

/** N2 */
async function readingLive(server: BenchServer, rows: number, rounds: number): Promise<Table> {
  const cases = existingHandlers.flatMap((handler) =>
    (['another', 'the same'] as const).map((table) => ({ handler, table })),
  );
  const found = new Map<(typeof cases)[number], { p50: number; p99: number; rate: number }[]>(
    cases.map((one) => [one, []]),
  );
  for (let round = 0; round < rounds; round++)
    for (const one of rotated(cases, round)) {
      found.get(one)!.push(await liveWhileReading(server, one, rows));
      await clean(server);
    }
  const of = (one: (typeof cases)[number], value: 'p50' | 'p99' | 'rate') =>
    median(found.get(one)!.map((measured) => measured[value]));
  return {
    title: 'N2: from the commit’s answer to the handler while existing rows are read, 300 commits a second',
    rows: cases.map((one): Row => ({
      'commits into': `${one.table} table`,
      handler: one.handler,
      'p50 ms': Number(of(one, 'p50').toFixed(2)),
      'p99 ms': Number(of(one, 'p99').toFixed(2)),
      'rows read/s': Math.round(of(one, 'rate')),
    })),
  };
}

async function liveWhileReading(
  server: BenchServer,
  { handler, table }: { readonly handler: string; readonly table: string },
  rows: number,
): Promise<{ p50: number; p99: number; rate: number }> {
  const route = server.routes[0]!;
  await recreateTables(server.client);
  const live = table === 'another' ? 'accounts' : 'existing_bigint';
  const args = [program('existing-live'), route.url, handler];
  const child = spawn(...commandOn(route, route.node, args), { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const output = linesOf(child.stdout);
  try {
    if ((await output.next()).value !== 'ready') throw new Error('existing-live did not get ready');
    // With a handler of 1 ms the rows would take too long: it is measured for a while.
    const answered = await write(server.url, Math.min(3000, Math.max(300, rows / 300)), 300, live, rows + 1);
    child.stdin.end();
    const { heard, rate } = JSON.parse((await output.next()).value ?? '{}') as {
      heard: [number, string][];
      rate: number;
    };
    const late = [...timesOf(heard)]
      .flatMap(([id, at]) => (answered.has(id) ? [Math.max(0, Number(at - answered.get(id)!) / 1e6)] : []))
      .toSorted((a, b) => a - b);
    const at = (share: number) => late[Math.floor((late.length - 1) * share)]!;
    process.stderr.write(`N2: ${table} table, ${handler}: ${late.length} events, p50 ${at(0.5)?.toFixed(2)} ms\n`);
    return { p50: at(0.5), p99: at(0.99), rate };
  } finally {
    child.kill();
    await exited;
    await server.client.query('delete from existing_bigint where id > $1', [rows]);
  }
}

async function clean(server: BenchServer): Promise<void> {
  await untilIdle(server);
  await server.client.query(`drop publication if exists ${slot}; drop schema if exists walwatch cascade`);
}
