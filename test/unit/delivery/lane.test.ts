import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { DeliverySettings } from '../../../src/delivery/lane.ts';
import { afterAttempts, dispatching, recipient } from '../../support/delivering.ts';
import { type Deferred, deferred } from '../../support/until.ts';

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(1);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});
const tick = () => vi.advanceTimersByTimeAsync(0);

/** A subscription whose handler does what each test says, call by call. */
function handling(settings: Partial<DeliverySettings> = {}) {
  const calls: { readonly id: number; readonly attempt: number; readonly signal: AbortSignal; done: Deferred<void> }[] =
    [];
  const one = recipient((event, context) => {
    const done = deferred();
    calls.push({ id: event.id, attempt: context.attempt, signal: context.signal, done });
    return done.promise;
  }, settings);
  return { ...dispatching(), one, calls, ids: () => calls.map(({ id }) => id) };
}

describe('order', () => {
  test('by default one event runs at a time, in commit order', async () => {
    const { send, one, calls, ids } = handling();
    for (const id of ['1', '2', '3']) send(one, id);
    expect(ids()).toEqual([1]);
    for (const [index, seen] of [[0, [1, 2]], [1, [1, 2, 3]]] as const) {
      calls[index]!.done.resolve();
      await tick();
      expect(ids()).toEqual(seen);
    } // prettier-ignore
  });

  test('with concurrency so many events of different records run at once, those of one record never', async () => {
    const { send, one, calls, ids } = handling({ concurrency: 2 });
    for (const id of ['1', '1', '2', '3']) send(one, id);
    expect(ids()).toEqual([1, 2]);
    calls[1]!.done.resolve();
    await tick();
    expect(ids()).toEqual([1, 2, 3]);
    calls[0]!.done.resolve();
    await tick();
    expect(ids()).toEqual([1, 2, 3, 1]);
  });

  test('an event that changes the primary key waits for both records, and both wait for it', async () => {
    const { send, one, calls, ids } = handling({ concurrency: 8 });
    send(one, '1');
    send(one, '2');
    send(one, '2', { oldId: '1' });
    send(one, '1');
    send(one, '2');
    expect(ids()).toEqual([1, 2]);
    calls[0]!.done.resolve();
    await tick();
    expect(ids()).toEqual([1, 2]);
    calls[1]!.done.resolve();
    await tick();
    expect(ids()).toEqual([1, 2, 2]);
    calls[2]!.done.resolve();
    await tick();
    expect(ids()).toEqual([1, 2, 2, 1, 2]);
  });

  test('a retry keeps the order of its record, and lets others run', async () => {
    const { send, one, calls, ids } = handling({ concurrency: 2 });
    for (const id of ['1', '1', '2', '3']) send(one, id);
    calls[0]!.done.reject(new Error('broken'));
    await tick();
    expect(ids()).toEqual([1, 2, 3]); // while it waits it takes no place
    for (const { done } of calls) done.resolve();
    await vi.advanceTimersByTimeAsync(100);
    expect(calls.slice(3)).toMatchObject([{ id: 1, attempt: 2 }]);
    calls[3]!.done.resolve();
    await tick();
    expect(calls.slice(4)).toMatchObject([{ id: 1, attempt: 1 }]);
  });

  test('without concurrency a retry holds everything behind it', async () => {
    const { send, one, calls, ledger } = handling();
    for (const id of ['1', '2']) send(one, id);
    calls[0]!.done.reject(new Error('broken'));
    await vi.advanceTimersByTimeAsync(99);
    expect(calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls.slice(1)).toMatchObject([{ id: 1, attempt: 2 }]);
    expect(ledger.confirmed).toBeUndefined();
  });

  test('a handler that is sometimes done at once keeps the order as well', async () => {
    const { send } = dispatching();
    const first = deferred();
    const seen: number[] = [];
    const one = recipient((event) => {
      seen.push(event.id);
      return event.id === 1 ? first.promise : undefined;
    });
    for (const id of ['1', '2', '3']) send(one, id);
    expect(seen).toEqual([1]);
    first.resolve();
    await tick();
    expect(seen).toEqual([1, 2, 3]);
  });
});

describe('a failing handler', () => {
  test.each([
    ['throws', () => { throw new Error('broken'); }],
    ['rejects', () => Promise.reject(new Error('broken'))],
  ])('that %s is called again with backoff, and every failure is told', async (_, handler) => {
    const { send, failures, ledger } = dispatching();
    const calls = vi.fn(handler);
    send(recipient(calls, { name: 'mail' }), '1');
    await vi.advanceTimersByTimeAsync(100 + 200 + 399);
    expect(calls).toHaveBeenCalledTimes(3);
    expect(failures.map(({ attempt, action, retryIn, eventId }) => [attempt, action, retryIn, eventId])).toEqual([
      [1, 'retry', 100, '0/1/0'],
      [2, 'retry', 200, '0/1/0'],
      [3, 'retry', 400, '0/1/0'],
    ]);
    expect(failures[0]).toMatchObject({ error: new Error('broken'), recipient: { name: 'mail' } });
    expect(ledger.confirmed).toBeUndefined();
  }); // prettier-ignore

  test('is skipped when the user said so, and what is behind it goes on', async () => {
    const { send, one, calls, ledger } = handling({ onError: afterAttempts(2, 'skip') });
    for (const id of ['1', '2']) send(one, id);
    calls[0]!.done.reject(new Error('broken'));
    await vi.advanceTimersByTimeAsync(100);
    calls[1]!.done.reject(new Error('broken'));
    await tick();
    expect(calls.map(({ id, attempt }) => [id, attempt])).toEqual([[1, 1], [1, 2], [2, 1]]); // prettier-ignore
    expect(ledger.confirmed).toBe(1n);
  });

  test('is skipped also when it fails at once, one after the other', () => {
    const { send, ledger, failures } = dispatching();
    const one = recipient(() => { throw new Error('broken'); }, { onError: () => 'skip' }); // prettier-ignore
    for (const id of ['1', '2', '3']) send(one, id);
    expect([failures.length, ledger.confirmed, one.lane]).toEqual([3, 3n, undefined]);
  });

  test('stops the watch when the user said so, and its event is never confirmed', async () => {
    const { send, one, calls, ledger, stops } = handling({ onError: afterAttempts(1, 'stop') });
    for (const id of ['1', '2']) send(one, id);
    const broken = new Error('broken');
    calls[0]!.done.reject(broken);
    await vi.runAllTimersAsync();
    expect(stops).toMatchObject([{ code: 'HANDLER_FAILED', cause: broken, message: expect.stringContaining('0/1/0') }]);
    expect([calls.length, ledger.confirmed]).toEqual([1, undefined]);
  });

  test('nothing is skipped that the user did not say to skip: neither by another word nor by an onError that throws', async () => {
    const worse = new Error('worse');
    for (const onError of [() => 'ignore' as 'skip', () => { throw worse; }]) {
      const { send, ledger, failures } = dispatching();
      send(recipient(() => Promise.reject(new Error('broken')), { onError }), '1');
      await tick();
      expect(failures).toMatchObject([{ action: 'retry', retryIn: 100 }]);
      expect(ledger.confirmed).toBeUndefined();
    }
  }); // prettier-ignore
});
