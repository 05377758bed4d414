/** The server stops, crashes or hangs up. */
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { compareLsn, createWatch, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { recorder } from '../support/recorder.ts';
import { inSession } from '../support/template.ts';
import { deferred, until } from '../support/until.ts';
import { slotName } from '../support/watching.ts';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
  await sql('create table entries (id int generated always as identity primary key, note text)');
  return () => cluster[Symbol.asyncDispose]();
});

const sql = (text: string) =>
  inSession(cluster.url, async (client) => (await client.query(text)).rows as Record<string, unknown>[]);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

function watchCluster(slot = slotName()): SlotWatch<typeof watchers> {
  const watch = createWatch({ connection: cluster.url, slot, watchers, stopTimeout: 50 });
  onTestFinished(() => watch.stop());
  return watch;
}

const acknowledged = (watch: SlotWatch<any>) => async () => {
  const { slot } = watch.status();
  const [row] = await sql(
    `select confirmed_flush_lsn >= pg_current_wal_insert_lsn() - 1024 as near, confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = '${slot}'`,
  );
  return row!['near'] === true && watch.status().heldBy === undefined;
};

test('a fast stop of the server ends at once while a handler hangs, and nothing unhandled is acknowledged', async () => {
  const slot = slotName();
  const watch = watchCluster(slot);
  const release = deferred();
  const seen: number[] = [];
  let commitLsn = '';
  watch.subscribe('entries:inserted', async ({ id }, context) => {
    ({ commitLsn } = context);
    await release.promise;
    seen.push(id);
  });
  await watch.start();
  const [entry] = await sql(`insert into entries (note) values ('held') returning id`);
  await until(() => watch.status().running === 1, { describe: 'the handler to run' });
  await cluster.stop('fast'); // rejects if it still runs after 20 s; without our answer it waits for wal_sender_timeout
  await until(() => watch.status().state !== 'streaming', { describe: 'the watch to notice' });
  await cluster.start();
  const [after] = await sql(
    `select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = '${slot}'`,
  );
  expect(compareLsn(String(after!['lsn']), commitLsn)).toBeLessThanOrEqual(0);
  release.resolve();
  await until(acknowledged(watch), { describe: 'the acknowledgement' });
  expect(seen).toEqual([entry!['id']]);
});

test('a reconnect delivers nothing twice, and nothing is missed over restarts and crashes of the server', async () => {
  const watch = watchCluster();
  const seen: number[] = [];
  const reconnects: number[] = [];
  let hold = deferred();
  watch.on('connected', (event) => reconnects.push(event.reconnects));
  watch.subscribe('entries:inserted', async ({ id }) => {
    await hold.promise;
    seen.push(id);
  });
  await watch.start();
  const written: unknown[] = [];
  for (const mode of ['fast', 'immediate', 'fast'] as const) {
    // Some are handled and acknowledged, some handled only, some not: the server sends all after its confirmed position again.
    hold.resolve();
    for (let count = 0; count < 20; count++)
      written.push(...(await sql(`insert into entries (note) values ('x') returning id`)));
    hold = deferred();
    written.push(...(await sql(`insert into entries (note) select 'y' from generate_series(1, 50) returning id`)));
    await until(() => watch.status().running === 1, { describe: 'a handler that waits' });
    const before = reconnects.length;
    await cluster.restart(mode);
    await until(() => reconnects.length > before, { describe: 'the reconnect' });
  }
  hold.resolve();
  await until(acknowledged(watch), { describe: 'everything to be handled' });
  expect(seen).toEqual(written.map((row) => (row as { id: number }).id));
  expect(reconnects).toEqual([0, 1, 2, 3]);
});

test('a terminated walsender is replaced; disconnected has the reason and the time', async () => {
  const watch = watchCluster();
  const disconnects = recorder();
  const connects: number[] = [];
  watch.on('disconnected', disconnects);
  watch.on('connected', ({ reconnects }) => connects.push(reconnects));
  await watch.start();
  await sql(
    `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '${watch.status().slot}'`,
  );
  await until(() => connects.length === 2, { describe: 'the reconnect' });
  expect(disconnects.all).toEqual([
    { error: expect.objectContaining({ code: 'CONNECTION' }), retryIn: expect.any(Number) },
  ]);
});
