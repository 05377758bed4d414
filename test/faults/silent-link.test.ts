/** A link that delivers nothing but stays open: how the watch reports it, and how it recovers. */
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { internalsOf } from '../../src/observe/internals.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { deferred, until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

const watchers = defineWatchers<{ entries: { id: number; note: string } }>()([
  ['entries', 'inserted', { extraColumns: ['note'] }],
]);

const db = useDatabase();
const watchOf = watchOn(db);
beforeAll(async () => {
  await db.sql('create table entries (id int generated always as identity primary key, note text)');
});
const write = async (rows = 1, bytes = 1): Promise<number[]> => {
  const written = await db.sql<{ id: number }>(
    `insert into entries (note) select repeat('x', $2) from generate_series(1, $1) returning id`,
    [rows, bytes],
  );
  return written.map(({ id }) => id);
};
const proxied = async (walSenderTimeout: string) => {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return { proxy, connection: { connectionString: proxy.url, options: `-c wal_sender_timeout=${walSenderTimeout}` } };
};
const eventsOf = (watch: SlotWatch<typeof watchers>) => {
  const seen: number[] = [];
  watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
  const errors: (WatchError | undefined)[] = [];
  watch.on('disconnected', ({ error }) => errors.push(error));
  return { seen, errors };
};
/** A watch that has handled its first event; `written` has the events that its handler must get. */
const streaming = async () => {
  const { proxy, connection } = await proxied('60s');
  const watch = watchOf(watchers, { connection });
  const heard = eventsOf(watch);
  await watch.start();
  const written = await write();
  await settled(db, watch);
  return { proxy, watch, ...heard, written };
};
const lagSecondsOf = (watch: SlotWatch<typeof watchers>) => internalsOf(watch).measurements.lagSeconds();

test('a silent link is not ready and has the time of its last byte, its lag is unknown and grows, and bytes end the silence', async () => {
  const { proxy, connection } = await proxied('3s');
  const watch = watchOf(watchers, { connection });
  const { seen, errors } = eventsOf(watch);
  await watch.start();
  const written = await write();
  await settled(db, watch);
  expect(watch.status()).toMatchObject({ silentSince: undefined, lagBytes: expect.any(Number) });
  proxy.hold();
  const heldAt = Date.now();
  await until(() => watch.status().silentSince, { describe: 'the silence' });
  const { state, silentSince, lagBytes } = watch.status();
  expect([state, lagBytes]).toEqual(['streaming', undefined]);
  expect(silentSince!.getTime()).toBeGreaterThan(heldAt - 1000); // it was asked every second until then
  expect(lagSecondsOf(watch)).toBeGreaterThan(0);
  expect(watch.health()).toEqual({
    live: true,
    ready: false,
    reasons: [`the server has not answered since ${silentSince!.toISOString()}`],
  });
  proxy.release();
  await until(() => watch.health().ready, { describe: 'the answer' });
  written.push(...(await write()));
  await settled(db, watch);
  expect(watch.status()).toMatchObject({ silentSince: undefined, lagBytes: expect.any(Number) });
  expect([seen, errors]).toEqual([written, []]);
});

test('a server that has nothing to send, and a paused reader, are not silent', async () => {
  const { connection } = await proxied('2s');
  const watch = watchOf(watchers, { connection, highWaterMark: 1000, stopTimeout: 10 });
  const silences: unknown[] = [];
  const look = setInterval(() => silences.push(watch.status().silentSince), 10);
  onTestFinished(() => clearInterval(look));
  const hang = deferred();
  watch.subscribe('entries:inserted', () => hang.promise);
  const { errors } = eventsOf(watch);
  await watch.start();
  const looked = (times: number) => {
    const before = silences.length;
    return until(() => silences.length > before + times, { describe: 'more looks' });
  };
  await looked(200);
  await write(10, 1000);
  await until(() => watch.health().reasons.join().includes('reading is paused'), { describe: 'full memory' });
  await looked(200);
  expect(watch.health().ready).toBe(true);
  hang.resolve();
  await settled(db, watch);
  expect(new Set(silences)).toEqual(new Set([undefined]));
  expect(errors).toEqual([]);
});

test('lag is unknown before the first connection and after the last', async () => {
  const { proxy, connection } = await proxied('3s');
  proxy.behave('silent');
  const watch = watchOf(watchers, { connection, connectTimeout: 1000 });
  const started = watch.start();
  expect(watch.status().state).toBe('connecting');
  expect([watch.status().lagBytes, lagSecondsOf(watch)]).toEqual([undefined, undefined]);
  proxy.behave('forward');
  await started;
  await settled(db, watch);
  expect([watch.status().lagBytes, lagSecondsOf(watch)]).toEqual([expect.any(Number), expect.any(Number)]);
  proxy.behave('silent');
  proxy.reset();
  await until(() => watch.status().state === 'disconnected', { describe: 'the loss' });
  expect(watch.status().lagBytes).toBeUndefined();
  await until(() => lagSecondsOf(watch)! > 0, { describe: 'lag that grows' });
  proxy.behave('forward');
});

test('commits from while it was disconnected count as lag as soon as it streams again', async () => {
  const { proxy, connection } = await proxied('3s');
  const watch = watchOf(watchers, { connection });
  const lags: (number | undefined)[] = [];
  watch.on('connected', () => lags.push(watch.status().lagBytes));
  await watch.start();
  await settled(db, watch);
  proxy.behave('silent');
  proxy.reset();
  await write(100, 1000);
  proxy.behave('forward');
  await until(() => lags.length === 2, { describe: 'the reconnect' });
  expect(lags[1]).toBeGreaterThan(100_000);
});

test('a dead link is given up after two heartbeats, long before the server gives up', async () => {
  const { proxy, connection } = await proxied('60s');
  const watch = watchOf(watchers, { connection, heartbeat: 500 });
  const { errors } = eventsOf(watch);
  await watch.start();
  await settled(db, watch);
  proxy.swallow();
  await until(() => errors.length > 0, { describe: 'the heartbeat to notice' });
  expect(errors[0]).toMatchObject({
    code: 'CONNECTION',
    message: expect.stringMatching(/a heartbeat could not be written: the server has not answered for \d+ ms/),
  });
  proxy.reset(); // the server would keep the slot for a minute
});

test('after an outage the gate asks over a new session at once, and does not wait for TCP to retransmit', async () => {
  const { proxy, watch, seen, errors, written } = await streaming();
  proxy.hold(':gate');
  written.push(...(await write()));
  await until(() => watch.status().waitingForVisibility, { describe: 'the question' });
  const accepted = proxy.accepted;
  proxy.hold();
  written.push(...(await write()));
  await until(() => Date.now() - watch.status().lastEventAt!.getTime() > 4000, { describe: 'an outage of 4 s' });
  proxy.release('replication');
  await until(() => seen.length === written.length, { describe: 'the events' });
  expect(seen).toEqual(written);
  expect(proxy.accepted).toBe(accepted + 1);
  await settled(db, watch);
  expect(watch.health()).toEqual({ live: true, ready: true, reasons: [] });
  expect(errors).toEqual([]);
  proxy.release(); // of a session that no longer exists
});

test('when only the session for questions is dead, the gate asks over a new one while the stream continues', async () => {
  const { proxy, watch, seen, errors, written } = await streaming();
  const accepted = proxy.accepted;
  proxy.hold(':gate');
  await until(
    async () => {
      if (proxy.accepted === accepted) written.push(...(await write()));
      return proxy.accepted > accepted;
    },
    { describe: 'another connection' },
  );
  proxy.release();
  await until(() => seen.length === written.length, { describe: 'the events' });
  expect(seen).toEqual(written);
  expect([proxy.accepted, watch.status().silentSince, errors]).toEqual([accepted + 1, undefined, []]);
});
