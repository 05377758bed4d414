/** A test watch is a watch: what applications use of it works without a database. */
import * as promClient from 'prom-client';
import { describe, expect, test, vi } from 'vitest';
import { collectMetrics, defineWatchers, type SlotWatch, type Watch } from '../../../src/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { recorder } from '../../support/recorder.ts';
import { deferred } from '../../support/until.ts';

const watchers = defineWatchers<{ users: { id: number } }>()([['users', ['inserted', 'updated']]]);

test('application code takes it as Watch and as SlotWatch', () => {
  const application = (watch: Watch<typeof watchers>) => watch.subscribe('users:inserted', () => {});
  const owner = (watch: SlotWatch<typeof watchers>) => watch.onTransaction(() => {});
  const watch = createTestWatch(watchers);
  application(watch);
  owner(watch);
  expect(watch.status().subscriptions).toBe(2);
});

test('it delivers before start(), after start(), and not after stop()', async () => {
  const watch = createTestWatch(watchers);
  const handler = recorder();
  const connected = recorder();
  watch.on('connected', connected);
  watch.subscribe('users:inserted', handler);
  expect(watch.health()).toMatchObject({ live: true, ready: false });
  await watch.deliver('users:inserted', { id: 1 });
  await watch.start();
  expect(watch.status()).toMatchObject({ state: 'streaming', slot: 'test', publication: 'test', lagBytes: 0 });
  expect(watch.health()).toEqual({ live: true, ready: true, reasons: [] });
  await watch.deliver('users:inserted', { id: 2 });
  await watch.stop();
  await watch.closed;
  await expect(watch.deliver('users:inserted', { id: 3 })).rejects.toMatchObject({ code: 'STOPPED' });
  await expect(watch.start()).rejects.toMatchObject({ code: 'STOPPED' });
  expect(() => watch.subscribe('users:inserted', handler)).toThrow(expect.objectContaining({ code: 'STOPPED' }));
  expect(handler.all).toEqual([{ id: 1 }, { id: 2 }]);
  expect(connected.all).toEqual([{ reconnects: 0 }]);
});

test('a watch that is never started, or only stopped, causes no warning', async () => {
  const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const listeners = process.listenerCount('exit');
  const watch = createTestWatch(watchers);
  expect(process.listenerCount('exit')).toBe(listeners);
  await watch.stop();
  expect(emitted).not.toHaveBeenCalled();
  emitted.mockRestore();
});

test('only a failure that is retried becomes a process warning: deliver rejects with the others', async () => {
  const emitted = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const watch = createTestWatch(watchers);
  watch.subscribe('users:inserted', () => Promise.reject(new Error('no')));
  await expect(watch.deliver('users:inserted', { id: 1 })).rejects.toThrow('no');
  expect(emitted).not.toHaveBeenCalled();
  watch.subscribe('users:updated', (_, { attempt }) => attempt > 1 || Promise.reject(new Error('not yet')), {
    onError: 'retry',
  });
  await watch.deliver('users:updated', { id: 1 });
  expect(emitted).toHaveBeenCalledOnce();
  emitted.mockRestore();
});

test('stop waits for running handlers, and rejects deliveries that have not begun', async () => {
  const watch = createTestWatch(watchers);
  const running = deferred();
  watch.subscribe('users:inserted', () => running.promise);
  const first = watch.deliver('users:inserted', { id: 1 });
  const second = watch.deliver('users:inserted', { id: 2 });
  const stopped = watch.stop();
  running.resolve();
  await first;
  await expect(second).rejects.toMatchObject({ code: 'STOPPED' });
  await stopped;
});

test('unsubscribe ends a subscription, and deliveries that waited for it resolve', async () => {
  const watch = createTestWatch(watchers);
  const running = deferred();
  const handler = () => running.promise;
  watch.subscribe('users:inserted', handler);
  const first = watch.deliver('users:inserted', { id: 1 });
  const second = watch.deliver('users:inserted', { id: 2 });
  expect(watch.unsubscribe('users:inserted', handler)).toBe(true);
  await second;
  running.resolve();
  await first;
});

describe('caughtUp', () => {
  test('waits for everything that was delivered before, all times of it', async () => {
    const watch = createTestWatch(watchers);
    const handler = recorder();
    watch.subscribe('users:inserted', async (event) => handler(await Promise.resolve(event)));
    void watch.deliver('users:inserted', { id: 1 }, { times: 2 });
    await watch.caughtUp();
    expect(handler.all).toEqual([{ id: 1 }, { id: 1 }]);
  });

  test('ends with its signal, and with the watch', async () => {
    const watch = createTestWatch(watchers);
    const running = deferred();
    watch.subscribe('users:inserted', () => running.promise);
    void watch.deliver('users:inserted', { id: 1 }).catch(() => {});
    void watch.deliver('users:inserted', { id: 2 }).catch(() => {});
    const abortion = new AbortController();
    const aborted = watch.caughtUp({ signal: abortion.signal });
    abortion.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    const waiting = expect(watch.caughtUp()).rejects.toMatchObject({ code: 'STOPPED' });
    const stopped = watch.stop();
    running.resolve();
    await waiting;
    await stopped;
    await expect(watch.caughtUp()).rejects.toMatchObject({ code: 'STOPPED' });
  });
});

test('positions move as handlers finish', async () => {
  const watch = createTestWatch(watchers);
  const acknowledged = recorder();
  watch.on('acknowledged', acknowledged);
  const running = deferred();
  watch.subscribe('users:inserted', () => running.promise);
  const first = watch.deliver('users:inserted', { id: 1 });
  await watch.deliver('users:updated', { id: 1 });
  expect(watch.status().confirmedLsn).toBeUndefined();
  running.resolve();
  await first;
  const { receivedLsn, confirmedLsn } = watch.status();
  expect(confirmedLsn).toBe(receivedLsn);
  expect(acknowledged.all.at(-1)).toEqual({ lsn: receivedLsn });
});

test('metrics count its events', async () => {
  const watch = createTestWatch(watchers);
  const register = new promClient.Registry();
  collectMetrics(watch, promClient, { registers: [register] });
  watch.subscribe('users:inserted', () => {}, { name: 'counter' });
  await watch.deliver('users:inserted', { id: 1 });
  expect(await register.metrics()).toMatch(/events.*subscription="counter".* 1\n/);
});
