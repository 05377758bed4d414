/** In the middle of a transaction that takes long to arrive: its progress, and stopping there. */
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { defineWatchers, type SlotWatch } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { recorder } from '../support/recorder.ts';
import { deferred, until } from '../support/until.ts';
import { isAcknowledged, nameOn, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ small: { id: number }; big: { id: number } }>()([
  ['small', 'inserted'],
  ['big', 'inserted'],
]);
const rows = 300_000;

/** The end of a stream may take two seconds, and the test fails instead of waiting longer. */
function withoutPatience(): void {
  const { setTimeout } = globalThis;
  vi.stubGlobal('setTimeout', (call: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
    setTimeout(call, ms === 2000 ? 2 ** 30 : ms, ...args),
  );
  onTestFinished(() => void vi.unstubAllGlobals());
}

/** However busy the machine is, the server has time to end a stream that is between transactions. */
function withEndlessPatience(): void {
  const { setTimeout } = timers;
  const endless = ((ms, ...rest) =>
    ms === 30 ? new Promise(() => {}) : setTimeout(ms, ...rest)) as typeof timers.setTimeout;
  const spy = vi.spyOn(timers, 'setTimeout').mockImplementation(endless);
  syncBuiltinESMExports();
  onTestFinished(() => {
    spy.mockRestore();
    syncBuiltinESMExports();
  });
}

/** How many sessions are terminated from now on. */
function terminations(): () => number {
  const query = vi.spyOn(pg.Client.prototype, 'query');
  onTestFinished(() => query.mockRestore());
  return () => query.mock.calls.filter(([text]) => String(text).includes('pg_terminate_backend')).length;
}

async function tables(): Promise<void> {
  await db.sql('drop table if exists small, big, unwatched');
  await db.sql('create table small (id int primary key)');
  await db.sql('create table big (id int primary key, body text)');
  await db.sql('create table unwatched (id int primary key)');
}

const insertBig = () => db.sql(`insert into big select n, repeat('x', 60) from generate_series(1, ${rows}) n`);

/** In the middle of it: some of it has arrived, and most has not. */
const inTheMiddle = (watch: SlotWatch<any>, changes: number) =>
  until(() => (watch.status().receiving?.changes ?? 0) >= changes, { describe: 'the middle', timeout: 30_000 });

test('inside a large transaction the status shows the received rows and bytes, and is empty afterwards', async () => {
  await tables();
  const watch = watchOf(watchers, { visibility: 'immediate' });
  const seen: unknown[] = [];
  watch.subscribe('big:inserted', (_, { xid, committedAt }) => {
    if (seen.length === 0) seen.push({ xid, committedAt });
  });
  await watch.start();
  expect(watch.status().receiving).toBeUndefined();
  await insertBig();
  await inTheMiddle(watch, 1);
  const first = watch.status().receiving!;
  await inTheMiddle(watch, first.changes + 1);
  const second = watch.status().receiving!;
  expect(seen).toEqual([{ xid: first.xid, committedAt: first.committedAt }]);
  expect(second).toMatchObject({ xid: first.xid, committedAt: first.committedAt });
  expect(second.bytes - first.bytes).toBeGreaterThan(60 * (second.changes - first.changes));
  await settled(db, watch);
  expect(watch.status().receiving).toBeUndefined();
});

test.each([
  ['its handlers keep up', 16 * 1024 * 1024],
  ['reading pauses, because they do not', 100_000],
])(
  'stop() in the middle of a large transaction does not wait for its rest, and acknowledges handled events; %s',
  async (_, highWaterMark) => {
    await tables();
    const slot = nameOn(db);
    await using proxy = await startProxy(db.url);
    proxy.behave('slow'); // the rest would take two minutes
    const options = { slot, connection: proxy.url, highWaterMark, visibility: 'immediate', stopTimeout: 0 } as const;
    const watch = watchOf(watchers, options);
    const release = deferred();
    let eventId = '';
    watch.subscribe('small:inserted', async (_event, context) => {
      ({ eventId } = context);
      await release.promise;
    });
    const never = deferred();
    watch.subscribe('big:inserted', ({ id }) => (highWaterMark === 100_000 && id > 100 ? never.promise : undefined));
    await watch.start();
    await db.sql('insert into small values (1)');
    await insertBig();
    await inTheMiddle(watch, 200);
    release.resolve(); // now there is something to acknowledge, in the middle of the transaction
    await until(() => isAcknowledged(watch, eventId), { describe: 'the acknowledgement to be sent' });
    withoutPatience();
    await watch.stop();
    const [state] = await db.sql('select active from pg_replication_slots where slot_name = $1', [slot]);
    expect(state).toEqual({ active: false });

    // Another worker continues at once: with the large transaction from its start, and without the small one.
    const next = watchOf(watchers, { slot });
    const again = { small: 0, big: 0 };
    next.subscribe('small:inserted', () => void again.small++);
    next.subscribe('big:inserted', () => void again.big++);
    const standbys = recorder();
    next.on('standby', standbys);
    await next.start();
    await settled(db, next);
    expect([again, standbys.all]).toEqual([{ small: 0, big: rows }, []]);
  },
);

test('a server that decodes changes of unwatched tables does not read our messages: stop() acknowledges instead', async () => {
  await tables();
  const slot = nameOn(db);
  const watch = watchOf(watchers, { slot, visibility: 'immediate' });
  const release = deferred();
  let eventId = '';
  watch.subscribe('small:inserted', async (_, context) => {
    ({ eventId } = context);
    await release.promise;
  });
  let seen = 0;
  watch.subscribe('big:inserted', () => void seen++);
  await watch.start();
  await db.sql('insert into small values (1)');
  const client = await db.client();
  await client.query('begin');
  await client.query('insert into big values (1)');
  await client.query('insert into unwatched select n from generate_series(1, 1000000) n');
  await client.query('insert into big values (2)');
  await client.query('commit');
  await until(() => seen === 1, { describe: 'its first row', timeout: 30_000 });
  release.resolve();
  await until(() => isAcknowledged(watch, eventId), { describe: 'the acknowledgement to be sent' });
  const terminated = terminations();
  withoutPatience();
  await watch.stop();
  expect([seen, terminated()]).toEqual([1, 1]);
  const [state] = await db.sql(
    'select active, confirmed_flush_lsn >= $2::pg_lsn as acknowledged from pg_replication_slots where slot_name = $1',
    [slot, watch.status().confirmedLsn],
  );
  expect(state).toEqual({ active: false, acknowledged: true });
});

test('outside of transactions the stream ends in order: the walsender is not terminated', async () => {
  await tables();
  const watch = watchOf(watchers);
  watch.subscribe('small:inserted', () => {});
  await watch.start();
  await db.sql('insert into small values (1)');
  await settled(db, watch);
  const terminated = terminations();
  withEndlessPatience();
  await watch.stop();
  expect(terminated()).toBe(0);
});
