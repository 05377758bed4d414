/** No watched table changes: the slot moves anyway, and a warning follows when it cannot. */
import { beforeAll, expect, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
beforeAll(async () => {
  await db.sql('create table entries (id int generated always as identity primary key)');
  await db.sql('create table unwatched (id int generated always as identity primary key, note text)');
});

const serverEnd = async () => (await db.sql('select pg_current_wal_insert_lsn()::text as lsn'))[0]!['lsn'] as string;
const slotIsPast = async (slot: string, lsn: string) =>
  (
    await db.sql('select confirmed_flush_lsn >= $2::pg_lsn as past from pg_replication_slots where slot_name = $1', [
      slot,
      lsn,
    ])
  )[0]!['past'] === true;

test('writes to unpublished tables alone move the slot', async () => {
  const watch = watchOf(watchers);
  const { slot } = watch.status();
  await watch.start();
  for (let round = 0; round < 2; round++) {
    await db.sql(`insert into unwatched (note) select repeat('x', 1000) from generate_series(1, 2000)`);
    const end = await serverEnd();
    await until(() => slotIsPast(slot, end), { describe: `the slot to pass ${end}`, timeout: 30_000 });
  }
  expect(watch.status()).toMatchObject({ state: 'streaming', heldBy: undefined, lastEventAt: undefined });
});

test('heartbeats are received, call no handler, and move the slot of an idle server', async () => {
  const watch = watchOf(watchers, { heartbeat: 500 });
  const { slot } = watch.status();
  const disconnects = recorder();
  const seen: number[] = [];
  watch.on('disconnected', disconnects);
  watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
  const beats = new Set<string>();
  watch.onMessage(`walwatch:heartbeat:${slot}`, (_, { eventId }) => void beats.add(eventId));
  await watch.start();
  const start = await serverEnd();
  await until(() => beats.size >= 5, { describe: 'heartbeats' });
  // Past the former end, although only heartbeats are written here.
  await until(() => slotIsPast(slot, start), { describe: 'the slot to move' });
  expect(disconnects.all).toEqual([]);
  expect(seen).toEqual([]);
});

test('the warning of retained WAL names the subscription that holds the slot back', async () => {
  await using cluster = await startCluster(); // writes of other tests would be retained as well
  const sql = (text: string) => inSession(cluster.url, (client) => client.query(text));
  await sql(`create table entries (id int generated always as identity primary key)`);
  await sql(`create table unwatched (note text)`);
  const watch = createWatch({ connection: cluster.url, slot: 'slow', watchers, retainedWalWarning: 1_000_000, stopTimeout: 10 }); // prettier-ignore
  const warnings = recorder<WatchError>();
  watch.on('warning', warnings);
  watch.subscribe('entries:inserted', () => new Promise(() => {}), { name: 'the slow one' });
  await watch.start();
  await sql('insert into entries default values');
  await until(() => watch.status().running === 1, { describe: 'the handler' });
  await sql(`insert into unwatched (note) select repeat('x', 1000) from generate_series(1, 3000)`);
  const warning = await until(() => warnings.all.find(({ code }) => code === 'WAL_RETAINED'), {
    describe: 'the warning',
    timeout: 30_000,
  });
  expect(warning.solution).toContain('the slow one');
  expect(watch.status().heldBy?.subscription).toBe('the slow one');
  expect(watch.status().lagBytes).toBeGreaterThan(1_000_000);
  await watch.stop();
});

test('without a limit of ours the warning appears at 80 % of max_slot_wal_keep_size', async () => {
  await using cluster = await startCluster({ settings: { max_slot_wal_keep_size: '20MB' } });
  await inSession(cluster.url, (client) =>
    client.query('create table entries (id int generated always as identity primary key)'),
  );
  const watching = async (enough: (watch: SlotWatch, warnings: readonly WatchError[]) => boolean) => {
    const watch = createWatch({ connection: cluster.url, slot: 'kept', watchers });
    const warnings = recorder<WatchError>();
    watch.on('warning', warnings);
    await watch.start(); // it is checked when streaming begins
    await until(() => enough(watch, warnings.all), { describe: 'the first look' });
    await watch.stop();
    return warnings.all;
  };
  expect(await watching((watch) => watch.status().lagBytes !== undefined)).toEqual([]);
  // A segment is 16 MB: the slot now retains one whole segment, and part of another.
  for (let segment = 0; segment < 2; segment++) {
    await inSession(cluster.url, async (client) => {
      await client.query('insert into entries default values');
      await client.query('select pg_switch_wal()');
    });
  }
  const [warning] = await watching((_, warnings) => warnings.length > 0);
  expect(warning).toMatchObject({
    code: 'WAL_RETAINED',
    message: expect.stringMatching(/retains \d+ bytes of WAL, more than the threshold of 16777216$/),
  });
});
