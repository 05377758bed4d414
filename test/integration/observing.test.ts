/** Health, metrics and tracing channels of a watch on a real server. */
import { tracingChannel } from 'node:diagnostics_channel';
import * as promClient from 'prom-client';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { collectMetrics, type ConnectionTrace, defineWatchers, type HandlerTrace } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { deferred, until } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
beforeAll(async () => {
  await db.sql('create table entries (id int generated always as identity primary key)');
});
const insert = () => db.sql('insert into entries default values');

async function proxied() {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return proxy;
}

test('health follows a watch from before its start to its end', async () => {
  const proxy = await proxied();
  const watch = watchOf(watchers, { connection: proxy.url });
  expect(watch.health()).toEqual({ live: true, ready: false, reasons: ['start() has not been called'] });
  await watch.start();
  expect(watch.health()).toEqual({ live: true, ready: true, reasons: [] });
  const lost = new Promise((resolve) => watch.on('disconnected', () => resolve(watch.health())));
  proxy.behave('silent');
  proxy.reset();
  expect(await lost).toMatchObject({
    live: true,
    ready: false,
    reasons: [expect.stringMatching(/^disconnected since \d{4}-.*Z, retrying: CONNECTION, /)],
  });
  proxy.behave('forward');
  proxy.reset();
  await until(() => watch.health().ready, { describe: 'the watch to be ready again' });
  expect(watch.health().reasons).toEqual([]);
  await watch.stop();
  expect(watch.health()).toMatchObject({ live: false, ready: false });
});

test('a standby is ready and shows the owner of the slot; a failed watch is not live and shows why', async () => {
  const slot = slotName();
  const first = watchOf(watchers, { slot });
  first.subscribe('entries:inserted', () => { throw new Error('broken'); }, { onError: { attempts: 1, then: 'stop' } }); // prettier-ignore
  await first.start();
  const second = watchOf(watchers, { slot });
  second.start().catch(() => {}); // it may be stopped before it streams
  await until(() => second.status().state === 'standby', { describe: 'the standby' });
  const [row] = await db.sql<{ pid: number }>('select active_pid as pid from pg_replication_slots where slot_name = $1', [slot]); // prettier-ignore
  const reasons = [`standing by: server process ${row!.pid} has the slot '${slot}'`];
  expect(second.health()).toEqual({ live: true, ready: true, reasons });
  await insert();
  await expect(first.closed).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
  expect(first.health()).toMatchObject({ live: false, ready: false });
  expect(first.health().reasons[0]).toMatch(/^ended by an error: HANDLER_FAILED, /);
});

test('a failing event is reported with its subscription, and the watch stays ready', async () => {
  const watch = watchOf(watchers);
  const mended = deferred();
  let attempts = 0;
  watch.subscribe('entries:inserted', async () => {
    if (++attempts === 1) throw new Error('not yet');
    await mended.promise;
  }, { name: 'mailer' }); // prettier-ignore
  await watch.start();
  await insert();
  await until(() => attempts === 2, { describe: 'the second attempt' });
  expect(watch.health()).toMatchObject({ live: true, ready: true });
  expect(watch.health().reasons.join()).toMatch(/^subscription mailer has held back the slot since .*, attempt 2$/);
  mended.resolve();
  await watch.caughtUp();
  expect(watch.health().reasons).toEqual([]);
});

test('metrics count events and retries, and show held events and lag', async () => {
  const proxy = await proxied();
  const watch = watchOf(watchers, { connection: proxy.url });
  const registry = new promClient.Registry();
  collectMetrics(watch, promClient, { registers: [registry] });
  const slot = `slot="${watch.status().slot}"`;
  const value = async (name: string, labels = slot): Promise<number | undefined> => {
    const line = (await registry.metrics()).split('\n').find((one) => one.startsWith(`${name}{${labels}} `));
    return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
  };
  const hold = deferred();
  let calls = 0;
  watch.subscribe('entries:inserted', async () => {
    if (++calls === 1) throw new Error('once');
    if (calls === 3) await hold.promise;
  }); // prettier-ignore
  expect(await value('walwatch_lag_seconds')).toBeUndefined();
  await watch.start();
  const of = `${slot},watcher="entries:inserted",subscription=""`;
  await insert();
  await watch.caughtUp();
  expect(await value('walwatch_events_total', of)).toBe(1);
  expect(await value('walwatch_retries_total', of)).toBe(1);
  expect(await value('walwatch_handler_duration_seconds_count', of)).toBe(2);
  expect(await value('walwatch_confirmed_lsn')).toBeGreaterThan(0);
  expect(await value('walwatch_state', `${slot},state="streaming"`)).toBe(1);
  await until(async () => (await value('walwatch_retained_wal_bytes')) !== undefined, { describe: 'the retained WAL' });
  expect(await value('walwatch_retained_wal_limit_bytes')).toBeUndefined();

  await insert();
  await until(() => calls === 3, { describe: 'the handler' });
  await db.sql(`select pg_logical_emit_message(true, 'test', repeat('x', 5000))`);
  await until(async () => (await value('walwatch_lag_bytes'))! > 5000, { describe: 'the lag' });
  expect(await value('walwatch_handlers_in_flight')).toBe(1);
  expect(await value('walwatch_undelivered_bytes')).toBeGreaterThan(0);
  const before = (await value('walwatch_lag_seconds'))!;
  await until(async () => (await value('walwatch_lag_seconds'))! > before, { describe: 'the lag to grow' });
  hold.resolve();
  await watch.caughtUp();
  // Commits after the call may still be in flight.
  await until(async () => (await value('walwatch_undelivered_bytes')) === 0, { describe: 'all to be delivered' });
  await until(async () => (await value('walwatch_lag_seconds')) === 0, { describe: 'the lag to be over' });

  expect(await value('walwatch_reconnects_total')).toBe(0);
  proxy.reset();
  await until(async () => (await value('walwatch_reconnects_total')) === 1, { describe: 'the reconnect' });
});

test('tracing channels publish connections and handlers of this watch only', async () => {
  const proxy = await proxied();
  const watch = watchOf(watchers, { connection: proxy.url });
  const { slot } = watch.status();
  const told: string[] = [];
  const tell = (what: string) => (message: HandlerTrace | ConnectionTrace) => {
    if (message.slot !== slot) return;
    const about = 'context' in message ? `${message.subscription} ${message.context.attempt}` : `connection ${message.connects}`; // prettier-ignore
    told.push(`${about} ${what}`);
  };
  const parts = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;
  for (const name of ['walwatch:connection', 'walwatch:handler']) {
    const channel = tracingChannel<HandlerTrace | ConnectionTrace>(name);
    const listeners = Object.fromEntries(parts.map((part) => [part, tell(part)])) as unknown as Parameters<typeof channel.subscribe>[0]; // prettier-ignore
    channel.subscribe(listeners);
    onTestFinished(() => channel.unsubscribe(listeners));
  }
  let calls = 0;
  watch.subscribe('entries:inserted', async () => {
    if (++calls === 1) throw new Error('once');
  }, { name: 'mailer' }); // prettier-ignore
  await watch.start();
  expect(told).toEqual(['connection 0 start', 'connection 0 end', 'connection 0 asyncStart', 'connection 0 asyncEnd']);
  told.length = 0;
  await insert();
  await watch.caughtUp();
  expect(told).toEqual([
    ...['start', 'end', 'error', 'asyncStart', 'asyncEnd'].map((part) => `mailer 1 ${part}`),
    ...['start', 'end', 'asyncStart', 'asyncEnd'].map((part) => `mailer 2 ${part}`),
  ]);
  told.length = 0;
  proxy.behave('silent');
  const { accepted } = proxy;
  proxy.reset();
  await until(() => proxy.accepted > accepted, { describe: 'the next attempt' });
  proxy.reset();
  await until(() => told.includes('connection 1 error'), { describe: 'the attempt to fail' });
  proxy.behave('forward');
  proxy.reset();
  await until(() => watch.status().state === 'streaming', { describe: 'the next stream' });
});
