/** With transaction: true the handler's writes and its position commit together. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { deferred, until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ sales: { id: number } }>()([['sales', 'inserted']]);

beforeAll(async () => {
  await db.sql('create table sales (id int generated always as identity primary key)');
  await db.sql('create table totals (name text primary key, count int not null)');
});
beforeEach(() => db.sql(`truncate totals`));

const add = `insert into totals values ($1, 1) on conflict (name) do update set count = totals.count + 1`;
const total = async (name: string) =>
  (await db.sql<{ count: number }>('select count from totals where name = $1', [name]))[0]?.count ?? 0;

test("the handler's writes commit with its position, and are rolled back when it fails", async () => {
  const watch = watchOf(watchers);
  watch.subscribe('sales:inserted', async (_, { client, attempt }) => {
    await client.query(add, ['retried']);
    if (attempt === 1) throw new Error('after writing');
  }, { transaction: true, name: 'retried' }); // prettier-ignore
  await watch.start();
  await db.sql('insert into sales default values');
  await db.sql('insert into sales default values');
  await settled(db, watch);
  expect(await total('retried')).toBe(2);
  const [position] = await db.sql(
    `select subscription, commit_lsn is not null as known from walwatch.positions where slot = $1`,
    [watch.status().slot],
  );
  expect(position).toEqual({ subscription: 'retried', known: true });
});

test('an attempt that times out has no effect, even if the handler continues and succeeds', async () => {
  const watch = watchOf(watchers);
  const aborted = deferred();
  watch.subscribe('sales:inserted', async (_, { client, attempt, signal }) => {
    await client.query(add, ['late']);
    if (attempt > 1) return;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    aborted.resolve();
  }, { transaction: true, name: 'late', timeout: 500 }); // prettier-ignore
  await watch.start();
  await db.sql('insert into sales default values');
  await aborted.promise;
  await settled(db, watch);
  expect(await total('late')).toBe(1);
});

test('messages take effect exactly once as well, including those adjacent to a commit', async () => {
  const watch = watchOf(watchers);
  watch.onMessage('job', (_, { client }) => client.query(add, ['jobs']), { transaction: true, name: 'jobs' });
  await watch.start();
  const client = await db.client();
  await client.query('begin');
  await client.query(`select pg_logical_emit_message(true, 'job', 'a'), pg_logical_emit_message(true, 'job', 'b')`);
  await client.query(`select pg_logical_emit_message(false, 'job', 'c')`);
  await client.query('commit');
  await settled(db, watch);
  expect(await total('jobs')).toBe(3);
});

test('one event at a time, with its own name', () => {
  const watch = watchOf(watchers);
  const subscribe = (options: object) =>
    watch.subscribe('sales:inserted', () => {}, { transaction: true, ...options } as object);
  expect(() => subscribe({ concurrency: 2 })).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  subscribe({ name: 'counter' });
  expect(() => subscribe({ name: 'counter' })).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
});

test.each([
  ['events', 6],
  ['batches', 4],
  ['transactions', 4],
])('a counter of %s is exact although its worker is killed again and again', async (what, rounds) => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const start = () => {
    const worker = spawn(process.execPath, ['.build/test/programs/counter.js', db.url, slot, what], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    onTestFinished(() => void worker.kill('SIGKILL'));
    return worker;
  };
  let worker = start();
  // Streaming: a slot that is active may still be in creation, and miss writes until it is ready.
  const streaming = `select from pg_stat_replication where application_name = $1 and state = 'streaming'`;
  await until(async () => (await db.sql(streaming, [`walwatch/${slot}`])).length === 1, {
    describe: 'the worker',
  });
  let written = 0;
  for (let round = 0; round < rounds; round++) {
    const rows = 50 + Math.floor(Math.random() * 100);
    await db.sql(
      `do $$ begin for i in 1..${rows} loop insert into sales default values; if i % 3 = 0 then commit; end if; end loop; end $$`,
    );
    written += rows;
    const enough = written - Math.floor(Math.random() * rows);
    await until(async () => (await total('killed')) >= enough, {
      describe: () => `a count of ${enough}`,
    });
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    worker = start();
  }
  await until(async () => (await total('killed')) >= written, { describe: `a count of ${written}` });
  worker.kill('SIGTERM');
  await once(worker, 'exit');
  expect(await total('killed')).toBe(written);
});

test('a temporary slot stores no positions, because nothing could continue from them', async () => {
  const watch = createWatch({ connection: db.url, slot: { temporary: true }, watchers });
  const handled = deferred();
  watch.subscribe('sales:inserted', () => handled.resolve(), { transaction: true, name: 'passing' });
  await watch.start();
  await db.sql('insert into sales default values');
  await handled.promise;
  await watch.stop();
  expect(await db.sql('select from walwatch.positions where slot = $1', [watch.status().slot])).toEqual([]);
});
