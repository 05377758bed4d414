import { expect, onTestFinished, test, vi } from 'vitest';
import type { LiveSource } from '../../../src/client/index.ts';
import { createLoader } from '../../../src/react/loader.ts';
import { hurried } from '../../support/timers.ts';
import { deferred, until } from '../../support/until.ts';

/** A client whose events the test emits. */
function source() {
  const listeners: Record<string, (told?: any) => void> = {};
  const client = {
    on: (event: string, listener: () => void) => {
      listeners[event] = listener;
      return () => delete listeners[event];
    },
    subscribe: (...given: unknown[]) => {
      listeners['event'] = given.at(-1) as () => void;
      return () => delete listeners['event'];
    },
  } as unknown as LiveSource<any>;
  return { client, listeners, tell: (event: string, told?: unknown) => listeners[event]!(told) };
}

function loading(load: (signal: AbortSignal) => Promise<unknown>) {
  const { client, listeners, tell } = source();
  const loader = createLoader<unknown>(client, { watcher: 'users:updated', filter: { role_id: 7 } });
  loader.load = load;
  const shown: unknown[] = [];
  const stop = loader.subscribe(() => shown.push(loader.get().error ?? loader.get().data));
  onTestFinished(stop);
  return { loader, listeners, tell, shown, stop };
}

test('a load that fails after a reset is retried with growing delays, and its error is shown with the old data', async () => {
  const waits = hurried();
  vi.spyOn(Math, 'random').mockReturnValue(0);
  onTestFinished(() => void vi.restoreAllMocks());
  let count = 0;
  const { loader, tell, shown } = loading(async () => {
    if (++count > 1 && count < 5) throw new Error(`load ${count}`);
    return count;
  });
  await until(() => loader.get().data === 1, { describe: 'the first load' });
  tell('reset');
  await until(() => loader.get().data === 5, { describe: 'the load that succeeds' });
  expect(shown).toEqual([1, new Error('load 2'), new Error('load 3'), new Error('load 4'), 5]);
  expect(waits).toEqual([500, 1000, 2000]);
  expect(loader.get().error).toBeUndefined();
});

test('a refusal of the subscription is shown as its error until it is served, which loads again', async () => {
  let count = 0;
  const { loader, tell } = loading(async () => ++count);
  const denial = { code: 'DENIED', reason: 'not yours' };
  await until(() => count === 1, { describe: 'the first load' });
  tell('connected');
  tell('refused', { watcher: 'users:updated', filter: { role_id: 8 }, ...denial });
  await until(() => loader.get().data === 2, { describe: 'the load when it is connected' });
  expect(loader.get().error).toBeUndefined();
  tell('refused', { watcher: 'users:updated', filter: { role_id: 7 }, ...denial });
  expect(loader.get()).toMatchObject({
    data: 2,
    error: { message: 'not yours', code: 'DENIED', watcher: 'users:updated' },
  });
  tell('connected');
  expect(loader.get().error).toBeUndefined();
  await until(() => loader.get().data === 3, { describe: 'the load when it is served' });
});

test('a failed connection is shown as an error with its status', async () => {
  const { loader, tell } = loading(async () => 1);
  await until(() => loader.get().data === 1, { describe: 'the load' });
  tell('failed', { status: 401, reason: 'no session', retryIn: 1000 });
  expect(loader.get()).toMatchObject({ data: 1, error: { message: 'no session', status: 401 } });
});

test('reload loads again while a component is subscribed, and the result of an aborted load is ignored', async () => {
  const pending = [deferred<number>(), deferred<number>()];
  const signals: AbortSignal[] = [];
  const { loader, listeners, stop, shown } = loading((signal) => {
    signals.push(signal);
    return pending[signals.length - 1]!.promise;
  });
  await until(() => signals.length === 1, { describe: 'a load' });
  pending[0]!.resolve(1);
  await until(() => loader.get().data === 1, { describe: 'its data' });
  loader.get().reload();
  await until(() => signals.length === 2, { describe: 'another load' });
  stop();
  pending[1]!.resolve(2);
  await pending[1]!.promise;
  await Promise.resolve();
  loader.get().reload();
  expect([signals.length, signals[1]!.aborted, shown, loader.get().data]).toEqual([2, true, [1], 1]);
  expect(listeners).toEqual({});
});

test('a load that never ends fails when another one is due, and is retried', async () => {
  const waits = hurried();
  const signals: AbortSignal[] = [];
  const { loader, tell, shown } = loading(async (signal) => {
    signals.push(signal);
    return signals.length === 1 ? deferred().promise : signals.length;
  });
  await until(() => signals.length === 1, { describe: 'the load' });
  expect(waits).toEqual([]);
  tell('reset');
  tell('reset');
  await until(() => loader.get().data === 2, { describe: 'the load that ends' });
  expect(waits).toEqual([30_000]);
  expect(shown).toEqual([new Error('load took over 30 s'), 2]);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
});

test('reload does not wait for the running load and ignores its result', async () => {
  const pending = [deferred<number>(), deferred<number>()];
  const signals: AbortSignal[] = [];
  const { loader, shown } = loading((signal) => {
    signals.push(signal);
    return pending[signals.length - 1]!.promise;
  });
  await until(() => signals.length === 1, { describe: 'a load' });
  loader.get().reload();
  await until(() => signals.length === 2, { describe: 'another load' });
  pending[0]!.resolve(1);
  pending[1]!.resolve(2);
  await until(() => loader.get().data === 2, { describe: 'its data' });
  expect(shown).toEqual([2]);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
});
