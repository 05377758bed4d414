/** The primary fails, and a physical standby replaces it; or changes are decoded on the standby. */
import { Socket } from 'node:net';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotOptions, type SlotWatch, type WatchError } from '../../src/index.ts';
import { wantedVersion } from '../support/binaries.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { replayed, startStandby } from '../support/standby.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';

const version = wantedVersion(process.env);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
const sql = (cluster: Cluster, text: string) =>
  inSession(cluster.url, async (client) => (await client.query(text)).rows as Record<string, unknown>[]);

/** A watch whose host name leads to another server from some moment on, as a virtual address does. */
function movable(first: Cluster, slot: SlotOptions) {
  let { port } = first;
  const stream = () => {
    const socket = new Socket();
    const connect = socket.connect.bind(socket) as (port: number, host: string) => Socket;
    return Object.assign(socket, { connect: () => connect(port, '127.0.0.1') });
  };
  const connection = { host: 'db', port: 5432, user: 'postgres', database: 'postgres', stream };
  const watch = createWatch({ connection, slot, watchers });
  const seen = new Set<number>();
  watch.subscribe('entries:inserted', ({ id }) => void seen.add(id));
  onTestFinished(() => watch.stop());
  return { watch, seen, moveTo: (cluster: Cluster) => void ({ port } = cluster) };
}

async function pair(settings = {}) {
  const primary = await startCluster();
  onTestFinished(() => primary[Symbol.asyncDispose]());
  await sql(primary, 'create table entries (id int generated always as identity primary key)');
  const standby = await startStandby(primary, settings);
  onTestFinished(() => standby[Symbol.asyncDispose]());
  return { primary, standby };
}

const slotOn = async (cluster: Cluster, watch: SlotWatch) =>
  (
    await sql(
      cluster,
      `select to_jsonb(s) as slot from pg_replication_slots s where slot_name = '${watch.status().slot}'`,
    )
  )[0]?.['slot'] as Record<string, unknown> | undefined;

test.skipIf(version < 17)(
  'with slot.failover the promoted standby has the slot, and nothing is missed',
  { timeout: 90_000 },
  async () => {
    const { primary, standby } = await pair({ sync_replication_slots: true });
    const { watch, seen, moveTo } = movable(primary, { name: 'failing_over', failover: true });
    await watch.start();
    await sql(primary, 'insert into entries select from generate_series(1, 100)');
    await until(() => seen.size === 100, { describe: 'the first events' });
    await until(
      async () =>
        (await slotOn(standby, watch))?.['synced'] === true && (await slotOn(standby, watch))?.['temporary'] === false,
      {
        describe: 'the slot to be synchronised',
        timeout: 40_000,
      },
    );
    await sql(primary, 'insert into entries select from generate_series(1, 100)');
    await replayed(primary, standby);
    await primary.stop('immediate');
    await sql(standby, 'select pg_promote()');
    moveTo(standby);
    await sql(standby, 'insert into entries select from generate_series(1, 100)');
    await until(() => seen.size === 300, {
      describe: () => `all events, so far ${seen.size}; ${JSON.stringify(watch.status())}`,
      timeout: 30_000,
    });
    expect(watch.status().state).toBe('streaming');
  },
);

test('without it the slot is lost, which ends the watch with an error', async () => {
  const { primary, standby } = await pair();
  const { watch, seen, moveTo } = movable(primary, { name: 'left_behind' });
  await watch.start();
  await sql(primary, 'insert into entries default values');
  await until(() => seen.size === 1, { describe: 'the first event' });
  await replayed(primary, standby);
  await primary.stop('immediate');
  await sql(standby, 'select pg_promote()');
  moveTo(standby);
  await expect(watch.closed).rejects.toMatchObject({ code: 'SLOT_LOST' });
});

test(
  'an address that leads to the standby before its promotion is waited for, whatever the standby lacks until then',
  { timeout: 120_000 },
  async () => {
    const failover = version >= 17;
    const { primary, standby } = await pair(failover ? { sync_replication_slots: true } : {});
    const { watch, seen, moveTo } = movable(primary, failover ? { name: 'early', failover } : { name: 'early' });
    const errors: WatchError[] = [];
    watch.on('disconnected', ({ error }) => void errors.push(error!));
    const closed = watch.closed.catch((error: unknown) => error);
    await watch.start();
    await sql(primary, 'insert into entries select from generate_series(1, 10)');
    await until(() => seen.size === 10, { describe: 'the first events' });
    if (failover) {
      const synced = async () => {
        const slot = await slotOn(standby, watch);
        return slot?.['synced'] === true && slot['temporary'] === false;
      };
      await until(synced, { describe: 'the slot to be synchronised', timeout: 60_000 });
    }
    await replayed(primary, standby);
    await primary.stop('immediate');
    moveTo(standby);
    const told = () => errors.filter(({ code }) => code === 'SERVER_BUSY').length;
    await until(() => told() >= 2, { describe: 'attempts on the standby' });
    expect(errors.find(({ code }) => code === 'SERVER_BUSY')!.message).toContain('still a standby');
    expect(watch.status().state).not.toBe('failed');
    await sql(standby, 'select pg_promote()');
    if (!failover) {
      expect(await closed).toMatchObject({ code: 'SLOT_LOST' });
      return;
    }
    await sql(standby, 'insert into entries select from generate_series(1, 10)');
    await until(() => seen.size === 20, { describe: () => `all events, so far ${seen.size}`, timeout: 30_000 });
    expect(errors.map(({ retry }) => retry)).not.toContain('never');
  },
);

test.skipIf(version < 17)(
  'a worker that starts on the standby, where the slot is being synchronized, waits for its promotion',
  { timeout: 120_000 },
  async () => {
    const { primary, standby } = await pair({ sync_replication_slots: true });
    const first = movable(primary, { name: 'starting_early', failover: true });
    await first.watch.start();
    await until(async () => (await slotOn(standby, first.watch))?.['temporary'] === false, {
      describe: 'the slot to be synchronised',
      timeout: 60_000,
    });
    await first.watch.stop();
    await replayed(primary, standby);
    const { watch, seen } = movable(standby, { name: 'starting_early', failover: true });
    const errors: WatchError[] = [];
    watch.on('disconnected', ({ error }) => void errors.push(error!));
    const started = watch.start();
    await until(() => errors.length >= 2, { describe: 'attempts on the standby' });
    expect(errors[0]).toMatchObject({ code: 'SERVER_BUSY', message: expect.stringContaining('still a standby') });
    await primary.stop('immediate');
    await sql(standby, 'select pg_promote()');
    await started;
    await sql(standby, 'insert into entries default values');
    await until(() => seen.size === 1, { describe: 'the event' });
  },
);

test.skipIf(version < 16)('changes can be decoded on a standby, with a slot and publication made by hand', async () => {
  const { primary, watch, seen } = await decodingOnStandby();
  await sql(primary, 'insert into entries select from generate_series(1, 50)');
  await until(() => seen.size === 51, { describe: () => `the events, so far ${seen.size}` });
  expect(watch.status()).toMatchObject({ state: 'streaming', error: undefined });
});

/** Decodes on the standby, which follows the primary. */
async function decodingOnStandby() {
  const { primary, standby } = await pair();
  await sql(primary, 'create table others (id int); create publication on_standby for table entries');
  await replayed(primary, standby);
  let done = false;
  const made = sql(standby, `select pg_create_logical_replication_slot('on_standby', 'pgoutput')`);
  made.finally(() => (done = true)).catch(() => {});
  await until(
    async () => {
      await sql(primary, 'select pg_log_standby_snapshot()');
      return done;
    },
    { describe: 'the slot on the standby' },
  );
  await made;
  const { watch, seen } = movable(standby, { name: 'on_standby' });
  await watch.start();
  await sql(primary, 'insert into entries default values');
  await until(() => seen.size === 1, { describe: 'the first event' });
  return { primary, standby, watch, seen };
}

test.skipIf(version < 16)('a transaction that is open on the primary does not delay later commits', async () => {
  const { primary, watch, seen } = await decodingOnStandby();
  const open = new pg.Client({ connectionString: primary.url });
  await open.connect();
  onTestFinished(() => open.end());
  await open.query('begin');
  await open.query('insert into others values (1)');
  await sql(primary, 'insert into entries select from generate_series(1, 20)');
  await until(() => seen.size === 21, {
    describe: () => `the events, so far ${seen.size}: ${watch.health().reasons.join()}`,
  });
  await open.query('commit');
});

test.skipIf(version < 16)(
  'a standby that is promoted while it streams is treated as a primary from then on',
  async () => {
    const { standby, watch, seen } = await decodingOnStandby();
    await sql(standby, 'select pg_promote()');
    await sql(standby, 'insert into entries select from generate_series(1, 20)');
    await until(() => seen.size === 21, {
      describe: () => `the events, so far ${seen.size}: ${watch.health().reasons.join()}`,
    });
  },
);
