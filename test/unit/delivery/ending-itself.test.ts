import { expect, test, vi } from 'vitest';
import type { ActiveSubscription } from '../../../src/routing/subscription.ts';
import { dispatching, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime();

test('a handler that ends its own subscription before its first await is still awaited', async () => {
  const { send, ledger } = dispatching();
  const done = [deferred(), deferred()];
  const one: ActiveSubscription = recipient((event) => {
    if (event.id === 2) one.unsubscribe();
    return done[event.id - 1]!.promise;
  });
  for (const id of ['1', '2']) send(one, id);
  done[0]!.resolve();
  await tick();
  expect(ledger.confirmed).toBe(1n);
  done[1]!.resolve();
  await tick();
  expect(ledger.confirmed).toBe(2n);
});

test.each([
  ['throws', () => { throw new Error('broken'); }],
  ['rejects', () => Promise.reject(new Error('broken'))],
])('a handler that ends its own subscription and then %s is reported, and not called again', async (_, fail) => {
  const { send, ledger, failures } = dispatching();
  const calls = vi.fn();
  const one: ActiveSubscription = recipient(() => {
    calls();
    one.unsubscribe();
    return fail();
  });
  send(one, '1');
  await tick(60_000);
  expect([calls.mock.calls.length, failures.length, ledger.confirmed]).toEqual([1, 1, 1n]);
}); // prettier-ignore

test('a subscription that has ended receives nothing, not even from a caller that found it earlier', () => {
  const { send, ledger } = dispatching();
  const handler = vi.fn();
  const one = recipient(handler);
  one.unsubscribe();
  send(one, '1');
  expect(handler).not.toHaveBeenCalled();
  expect(ledger.confirmed).toBe(1n);
});

test('a running handler times out while the watch closes, and no timer is left', async () => {
  const { send, dispatcher } = dispatching();
  let signal!: AbortSignal;
  const hangs = (_: unknown, context: { signal: AbortSignal }) => {
    ({ signal } = context);
    return new Promise(() => {});
  };
  send(recipient(hangs, { timeout: 50 }), '1');
  send(recipient(hangs, { timeout: 1_000_000 }), '2');
  const first = dispatcher.heldBy;
  const closing = dispatcher.close(10_000, 'stop');
  await tick(50);
  expect(first?.attempt).toBe(1);
  expect(dispatcher.heldBy?.error).toMatchObject({ code: 'HANDLER_TIMEOUT' });
  await tick(10_000);
  await closing;
  expect([signal.reason, vi.getTimerCount()]).toEqual(['stop', 0]);
});

test('an attempt that fails because the watch stops is not skipped, although onError would skip it', async () => {
  const { dispatcher, send, ledger, failures } = dispatching();
  const heeding = (_: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
  send(recipient(heeding, { onError: { attempts: 1, then: 'skip' } }), '1');
  const closed = dispatcher.close(10, new Error('stopped'));
  await tick(20);
  await closed;
  await tick();
  expect(ledger.confirmed).toBeUndefined();
  expect(failures).toEqual([]);
});
