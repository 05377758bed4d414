/** The stream continues in another history: the server was restored, or others moved the slot. */
import { Socket } from 'node:net';
import pg from 'pg';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchOptions } from '../../src/index.ts';
import { backUp } from '../support/backup.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
beforeAll(async () => {
  for (const table of ['entries', 'others']) await db.sql(`create table ${table} (id int primary key)`);
});

interface Tables {
  entries: { id: number };
  others: { id: number };
}
const watchers = defineWatchers<Tables>()([['entries', 'inserted']]);
const both = defineWatchers<Tables>()([
  ['entries', 'inserted'],
  ['others', 'inserted'],
]);

let next = 1;
const insert = async (table = 'entries') => {
  await db.sql(`insert into ${table} values ($1)`, [next]);
  return next++;
};

/** The events and gaps of a watch. */
function record(watch: SlotWatch<any>, ...names: string[]) {
  const seen: number[] = [];
  const gaps: { from: string | undefined; to: string; reason: string }[] = [];
  for (const name of names.length > 0 ? names : ['entries:inserted'])
    watch.subscribe(name, ({ id }: any) => void seen.push(id));
  watch.on('gap', (gap) => gaps.push(gap));
  return { seen, gaps };
}

async function ownCluster(settings = {}) {
  const cluster = await startCluster({ settings });
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  const sql = (text: string) => inSession(cluster.url, async (client) => (await client.query(text)).rows as any[]);
  await sql('create table entries (id int primary key)');
  const watch = (options: Partial<WatchOptions<typeof watchers>>) => {
    const made = createWatch({ connection: cluster.url, slot: 'worker', watchers, ...options });
    onTestFinished(() => made.stop());
    return made;
  };
  return { cluster, sql, watch };
}

test('a snapshot that is restored under a running worker is reported as a gap, and no new row is skipped as a known one', async () => {
  const { cluster, sql, watch: make } = await ownCluster();
  const watch = make({});
  const { seen, gaps } = record(watch);
  await watch.start();
  await sql('insert into entries values (1)');
  await until(() => seen.length === 1, { describe: 'the first event' });
  const restore = await backUp(cluster);
  await until(() => watch.status().state === 'streaming', { describe: 'the worker to be back' });
  await sql('insert into entries select generate_series(10, 30)');
  await until(() => seen.length === 22, { describe: 'what the snapshot does not have' });
  await restore();
  await cluster.start();
  await sql('insert into entries values (2)');
  await until(() => seen.includes(2), {
    describe: () => `the first new row: ${JSON.stringify([seen, watch.status()])}`,
  });
  expect(gaps).toEqual([expect.objectContaining({ reason: expect.stringContaining('restored to an earlier state') })]);
  await settledOn(cluster, watch);
});

test('a restored server with newer WAL is detected by its transactions, before anything is skipped', async () => {
  const { cluster, sql, watch: make } = await ownCluster();
  const proxy = await startProxy(cluster.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const watch = make({ connection: proxy.url, connectTimeout: 200, stopTimeout: 100 });
  const { seen, gaps } = record(watch);
  let holds = false;
  watch.subscribe('entries:inserted', async () => {
    if (holds) await new Promise(() => {}); // so that the slot stays behind
  });
  await watch.start();
  await sql('insert into entries values (1)');
  await until(() => seen.length === 1, { describe: 'the first event' });
  const restore = await backUp(cluster);
  await until(() => watch.status().state === 'streaming', { describe: 'the worker to be back' });
  holds = true;
  await sql('insert into entries select generate_series(10, 30)');
  await until(() => seen.length === 22, { describe: 'what the snapshot does not have' });
  proxy.behave('silent');
  proxy.reset();
  await restore();
  await cluster.start();
  holds = false;
  for (let id = 100; id < 150; id++) await sql(`insert into entries values (${id})`);
  proxy.behave('forward');
  await until(() => seen.filter((id) => id >= 100).length === 50, {
    describe: () => `the new rows: ${JSON.stringify([seen, gaps, watch.status()])}`,
  });
  expect(gaps).toEqual([expect.objectContaining({ reason: expect.stringContaining('restored to an earlier state') })]);
});

test('a gap is reported even if streaming fails once after the slot was re-created, and by a new process too', async () => {
  const { cluster, sql, watch: make } = await ownCluster({ max_wal_senders: 1 });
  /** Takes the only walsender. */
  const occupy = async () => {
    const client = new pg.Client({ connectionString: cluster.url, replication: 'database' } as pg.ClientConfig);
    await client.connect();
    return () => client.end();
  };
  const first = make({ stopTimeout: 100 });
  await first.start();
  await sql('insert into entries values (1)');
  await first.caughtUp();
  await first.stop();
  await sql(`select pg_drop_replication_slot('worker')`);

  // The walsender of the first worker may need a moment to exit.
  const free = await until(() => occupy().catch(() => undefined), { describe: 'the only place' });
  const refused = make({ slot: { name: 'worker', onLost: 'recreate' } });
  refused.start().catch(() => {});
  await until(() => refused.status().state === 'disconnected', { describe: 'the refusal' });
  await refused.stop(); // it could not report it
  await free();
  const watch = make({ slot: { name: 'worker', onLost: 'recreate' } });
  const { gaps } = record(watch);
  await watch.start();
  expect(gaps).toEqual([expect.objectContaining({ reason: "the slot 'worker' was dropped" })]);
  await watch.stop();
  const last = make({});
  const after = record(last);
  await last.start();
  expect(after.gaps).toEqual([]); // reported once
});

test('a worker that returns after a colleague had the slot and stopped continues, without SLOT_MOVED', async () => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const slot = slotName();
  const first = watchOf(watchers, { slot, connection: proxy.url, connectTimeout: 200 });
  const one = record(first);
  await first.start();
  await insert();
  await settled(db, first);
  const colleague = watchOf(watchers, { slot });
  const other = record(colleague);
  const started = colleague.start();
  await until(() => colleague.status().state === 'standby', { describe: 'the standby' });
  proxy.behave('silent');
  proxy.reset();
  await started;
  const missed = await insert();
  await settled(db, colleague);
  await colleague.stop();
  proxy.behave('forward');
  const id = await insert();
  await until(() => one.seen.includes(id), { describe: () => JSON.stringify(first.status()) });
  expect([other.seen, one.seen.slice(1), one.gaps]).toEqual([[missed], [id], []]);
});

test('a stranger who advances the slot of a running worker ends it with SLOT_MOVED', async () => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const slot = slotName();
  const watch = watchOf(watchers, { slot, connection: proxy.url, connectTimeout: 200 });
  record(watch);
  await watch.start();
  await settled(db, watch);
  const comment = async () =>
    (await db.sql("select obj_description(oid, 'pg_publication') as text from pg_publication where pubname = $1", [slot]))[0]!['text']; // prettier-ignore
  await until(async () => String(await comment()).includes('"worker"'), { describe: 'the worker to be noted' });
  proxy.behave('silent');
  proxy.reset();
  await until(async () => (await db.sql('select from pg_replication_slots where slot_name = $1 and not active', [slot])).length === 1, { describe: 'the slot to be free' }); // prettier-ignore
  await insert();
  await db.sql('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [slot]);
  proxy.behave('forward');
  await expect(watch.closed).rejects.toMatchObject({ code: 'SLOT_MOVED' });
});

test('a slot that others advanced while no worker ran is a gap, reported once', async () => {
  const slot = slotName();
  const run = async () => {
    const watch = watchOf(watchers, { slot });
    const recorded = record(watch);
    await watch.start();
    await settled(db, watch);
    await watch.stop();
    return recorded.gaps;
  };
  expect(await run()).toEqual([]);
  await insert();
  expect(await run()).toEqual([]); // writes while no worker ran are not lost
  await insert();
  await db.sql('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [slot]);
  expect(await run()).toEqual([expect.objectContaining({ reason: expect.stringContaining('was moved from') })]);
  expect(await run()).toEqual([]);
});

test('a version with fewer watchers acknowledges events of the others: the next version that has them gets a gap', async () => {
  const slot = slotName();
  const run = async (deployed: typeof watchers | typeof both, ...names: string[]) => {
    const watch = watchOf(deployed as typeof both, { slot });
    const recorded = record(watch, ...names);
    await watch.start();
    const id = await insert('others');
    await settled(db, watch);
    await watch.stop();
    return { id, ...recorded };
  };
  const first = await run(both, 'others:inserted');
  const fewer = await run(watchers);
  const last = await run(both, 'others:inserted');
  expect([first.seen, first.gaps, fewer.gaps]).toEqual([[first.id], [], []]);
  expect(last.seen).toEqual([last.id]);
  expect(last.gaps).toEqual([expect.objectContaining({ reason: expect.stringContaining("'others:inserted'") })]);
});

test('an address of several servers is detected: nothing is read from another server than the one that was checked', async () => {
  const [one, other] = [await ownCluster(), await ownCluster()];
  let sockets = 0;
  const stream = () => {
    const socket = new Socket();
    const connect = socket.connect.bind(socket) as (port: number, host: string) => Socket;
    // The third connection of each attempt is the walsender's.
    const port = ++sockets === 3 ? other.cluster.port : one.cluster.port;
    return Object.assign(socket, { connect: () => connect(port, '127.0.0.1') });
  };
  const connection = { host: 'db', port: 5432, user: 'postgres', database: 'postgres', stream };
  const watch = one.watch({ connection });
  const { seen } = record(watch);
  const errors: string[] = [];
  watch.on('disconnected', ({ error }) => errors.push(error!.message));
  await other.sql(`create publication worker for table entries`);
  await other.sql(`select pg_create_logical_replication_slot('worker', 'pgoutput')`);
  await watch.start();
  await one.sql('insert into entries values (1)');
  await until(() => seen.length === 1, { describe: 'the event' });
  expect(errors).toEqual(['the ordinary session and the replication stream reached different servers']);
});

async function settledOn({ url }: Cluster, watch: SlotWatch<any>): Promise<void> {
  await settled({ sql: (text: string, values?: unknown[]) => inSession(url, async (client) => (await client.query(text, values)).rows as any) }, watch); // prettier-ignore
}
