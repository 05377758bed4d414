import { describe, expect, test, vi } from 'vitest';
import type { Captured } from '../../../src/changes/ledger.ts';
import type { BatchOptions } from '../../../src/types/delivery.ts';
import { WatchError } from '../../../src/errors.ts';
import { afterAttempts, dispatching, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { type Deferred, deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });

interface Call extends Deferred<void> {
  readonly events: readonly { readonly id: number }[];
  readonly context: any;
}

/** A dispatcher and one subscription to batches. The test ends each call of its handler. */
function batching(
  batch: Partial<BatchOptions>,
  settings: Parameters<typeof recipient>[1] = {},
  options: Parameters<typeof dispatching>[0] = {},
) {
  const calls: Call[] = [];
  const one = recipient(
    (events, context) => {
      const done = deferred();
      calls.push({ ...done, events, context });
      return done.promise;
    },
    { ...settings, batch: { size: 100, wait: 0, latest: false, ...batch } },
  );
  const delivery = dispatching(options);
  return {
    ...delivery, one, calls,
    /** Ids, batch by batch. */
    ids: () => calls.map(({ events }) => events.map(({ id }) => id)),
    sendAll: (...ids: readonly string[]) => {
      for (const id of ids) delivery.send(one, id);
    },
  }; // prettier-ignore
}

describe('a batch contains', () => {
  test('the events that arrive together, in order', async () => {
    const { sendAll, ids } = batching({});
    sendAll('1', '2', '3');
    expect(ids()).toEqual([]);
    await tick();
    expect(ids()).toEqual([[1, 2, 3]]);
  });

  test('at most `size` events, and is delivered as soon as it is full', () => {
    const { sendAll, ids } = batching({ size: 2, wait: 1000 });
    sendAll('1', '2', '3');
    expect(ids()).toEqual([[1, 2]]);
  });

  test('the events that arrive within `wait` of the first', async () => {
    const { sendAll, calls, ids } = batching({ wait: 50 });
    sendAll('1');
    await tick(49);
    sendAll('2');
    expect(ids()).toEqual([]);
    await tick(1);
    expect(ids()).toEqual([[1, 2]]);
    calls[0]!.resolve();
    await tick();
    sendAll('3');
    await tick(49);
    expect(ids()).toHaveLength(1); // it has its full `wait`
    await tick(1);
    expect(ids()).toEqual([[1, 2], [3]]);
  });

  test('all events that arrived while the handler was busy', async () => {
    const { sendAll, calls, ids } = batching({ size: 3 });
    sendAll('1');
    await tick();
    sendAll('2', '3', '4');
    await tick();
    sendAll('5');
    await tick(1000);
    sendAll('6');
    expect(ids()).toEqual([[1]]);
    for (const expected of [[[1], [2, 3, 4]], [[1], [2, 3, 4], [5, 6]]]) {
      calls.at(-1)!.resolve();
      await tick();
      expect(ids()).toEqual(expected);
    } // prettier-ignore
  });

  test('all events that arrived while the last batch waited for its retry', async () => {
    const { sendAll, calls, ids } = batching({ size: 3 });
    sendAll('1');
    await tick();
    calls[0]!.reject(new Error('down'));
    await tick();
    sendAll('2');
    await tick(50);
    sendAll('3');
    await tick(50);
    expect(ids()).toEqual([[1], [1]]);
    calls[1]!.resolve();
    await tick();
    expect(ids()).toEqual([[1], [1], [2, 3]]);
  });

  test('an event that still waits is not delivered early when the handler finishes', async () => {
    const { sendAll, calls, ids } = batching({ size: 2, wait: 100 });
    sendAll('1', '2', '3');
    calls[0]!.resolve();
    await tick(99);
    expect(ids()).toEqual([[1, 2]]);
    await tick(1);
    expect(ids()).toEqual([[1, 2], [3]]);
  });

  test('with `latest` the newest event of each record, in order; the others are handled with them', async () => {
    const { sendAll, calls, ledger } = batching({ latest: true });
    sendAll('1', '2', '1', '3', '2');
    await tick();
    const [{ events, context }] = calls as [Call];
    expect(events.map(({ id }) => id)).toEqual([1, 3, 2]);
    expect(context.contexts.map(({ eventId }: { eventId: string }) => eventId)).toEqual(['0/3/0', '0/4/0', '0/5/0']);
    expect(ledger.confirmed).toBeUndefined();
    calls[0]!.resolve();
    await tick();
    expect(ledger.confirmed).toBe(5n);
  });

  test('with `latest` a changed key is news of both records until both have newer ones', async () => {
    const { send, sendAll, one, ids, calls } = batching({ latest: true });
    const moved = () => {
      sendAll('1');
      send(one, '2', { oldId: '1' });
      sendAll('2');
    };
    moved();
    await tick();
    expect(calls[0]!.context.contexts.map(({ eventId }: { eventId: string }) => eventId)).toEqual(['0/2/0', '0/3/0']);
    calls[0]!.resolve();
    await tick();
    moved();
    sendAll('1');
    await tick();
    expect(ids().at(-1)).toEqual([2, 1]);
  });
});

test('events and contexts match, and all have the attempt and the signal of the batch', async () => {
  const { sendAll, calls } = batching({});
  sendAll('7', '8');
  await tick();
  const [{ events, context }] = calls as [Call];
  expect(context).toMatchObject({ watcher: 'users:updated', attempt: 1 });
  expect(context.contexts).toMatchObject([
    { eventId: '0/1/0', commitLsn: '0/1', attempt: 1, type: 'updated', table: 'users' },
    { eventId: '0/2/0', commitLsn: '0/2', attempt: 1, type: 'updated', table: 'users' },
  ]);
  expect(events).toHaveLength(2);
  for (const one of context.contexts) expect(one.signal).toBe(context.signal);
});

describe('the position moves past', () => {
  test('all events of a batch, once it is done', async () => {
    const { sendAll, calls, ledger, dispatcher } = batching({ size: 3 });
    sendAll('1', '2', '3');
    await tick();
    expect(ledger.confirmed).toBeUndefined();
    expect(dispatcher.heldBy).toMatchObject({ eventId: '0/1/0', attempt: 1 });
    calls[0]!.resolve();
    await tick();
    expect([ledger.confirmed, dispatcher.heldBy]).toEqual([3n, undefined]);
  });

  test('no event that is still being collected: heldBy shows the first of them', async () => {
    const { sendAll, ledger, dispatcher } = batching({ wait: 60_000 });
    sendAll('1', '2');
    expect(dispatcher.heldBy).toMatchObject({ subscription: 'users:updated', eventId: '0/1/0', attempt: 1 });
    await tick(59_999);
    expect(ledger.confirmed).toBeUndefined();
  });
});

describe('with concurrency', () => {
  test('as many batches run at once as concurrency allows, if they have no record in common', async () => {
    const { sendAll, ids } = batching({ size: 1 }, { concurrency: 2 });
    sendAll('1', '2', '3');
    expect(ids()).toEqual([[1], [2]]);
  });

  test('two batches with a common record never run at once', async () => {
    const { sendAll, calls, ids } = batching({ size: 2 }, { concurrency: 8 });
    sendAll('1', '2', '2', '3', '4', '5', '3', '5');
    expect(ids()).toEqual([
      [1, 2],
      [4, 5],
    ]);
    calls[1]!.resolve();
    await tick();
    expect(ids()).toHaveLength(2); // the last batch waits for two others
    calls[0]!.resolve();
    await tick();
    expect(ids()).toEqual([
      [1, 2],
      [4, 5],
      [2, 3],
    ]);
    calls[2]!.resolve();
    await tick();
    expect(ids().at(-1)).toEqual([3, 5]);
  });
});

describe('a failed batch', () => {
  test('is retried as a whole, before later events', async () => {
    const { sendAll, calls, ids, failures, ledger } = batching({ size: 2 });
    sendAll('1', '2', '3', '4');
    calls[0]!.reject(new Error('broken'));
    await tick(100);
    expect(ids()).toEqual([
      [1, 2],
      [1, 2],
    ]);
    const { context } = calls[1]!;
    expect([context.attempt, context.contexts.map(({ attempt }: { attempt: number }) => attempt)]).toEqual([2, [2, 2]]);
    expect(failures).toMatchObject([{ eventId: '0/1/0', attempt: 1, action: 'retry' }]);
    calls[1]!.resolve();
    await tick();
    expect([ids().at(-1), ledger.confirmed]).toEqual([[3, 4], 2n]);
  });

  test('is skipped as a whole', async () => {
    const { sendAll, calls, ids, ledger } = batching({ size: 2 }, { onError: afterAttempts(1, 'skip') });
    sendAll('1', '2', '3', '4');
    calls[0]!.reject(new Error('broken'));
    await tick();
    expect([ids(), ledger.confirmed]).toEqual([
      [
        [1, 2],
        [3, 4],
      ],
      2n,
    ]);
  });

  test('ends the watch, and none of its events is acknowledged', async () => {
    const { sendAll, calls, stops, ledger } = batching({ size: 2 }, { onError: afterAttempts(1, 'stop') });
    sendAll('1', '2');
    calls[0]!.reject(new Error('broken'));
    await tick();
    expect(stops).toMatchObject([{ code: 'HANDLER_FAILED' }]);
    expect(ledger.confirmed).toBeUndefined();
  });

  test('becomes one dead letter for each of its events, and holds the slot until all are written', async () => {
    const letters: [string, number][] = [];
    const written = deferred();
    const { sendAll, calls, ledger } = batching(
      { size: 4, latest: true },
      { onError: afterAttempts(2, 'deadLetter') },
      {
        bury: async ({ deliverable, attempts }) => {
          letters.push([(deliverable.change as Captured).eventId, attempts]);
          if (letters.length === 3) await written.promise;
        },
      },
    );
    sendAll('1', '2', '1', '3');
    calls[0]!.reject(new Error('broken'));
    await tick(100);
    calls[1]!.reject(new Error('broken'));
    await tick();
    expect(letters).toEqual([['0/2/0', 2], ['0/3/0', 2], ['0/4/0', 2]]); // prettier-ignore
    expect(ledger.confirmed).toBeUndefined();
    written.resolve();
    await tick();
    expect(ledger.confirmed).toBe(4n);
  });

  test('that timed out has its signal aborted, in the context of each event too', async () => {
    const { sendAll, calls, failures } = batching({ size: 2 }, { timeout: 1000 });
    sendAll('1', '2');
    await tick(1000);
    const { context } = calls[0]!;
    for (const { signal } of [context, ...context.contexts])
      expect(signal.reason).toMatchObject({ code: 'HANDLER_TIMEOUT' });
    expect(failures).toMatchObject([{ error: { code: 'HANDLER_TIMEOUT' } }]);
    calls[0]!.resolve();
    await tick(100);
    expect(calls[1]!.context).toMatchObject({ attempt: 2, signal: { aborted: false } });
  });

  test('that throws synchronously is handled like any other', async () => {
    const { dispatcher, send, failures, ledger } = dispatching();
    let attempts = 0;
    const one = recipient(
      () => {
        if (++attempts === 1) throw new Error('broken');
      },
      { batch: { size: 2, wait: 0, latest: false } },
    );
    send(one, '1');
    await tick(100);
    expect([failures.length, attempts, ledger.confirmed, dispatcher.running]).toEqual([1, 2, 1n, 0]);
  });
});

test('an event whose routing column was not sent goes to onError alone, in commit order', async () => {
  const obstacle = new WatchError('VALUE_ABSENT', 'absent');
  const { send, sendAll, one, calls, ids, failures, ledger } = batching(
    { wait: 1000 },
    { onError: afterAttempts(1, 'skip') },
  );
  sendAll('1', '2');
  send(one, '3', { obstacle });
  sendAll('4');
  expect([ids(), failures]).toEqual([[[1, 2]], []]); // the events before it do not wait any longer
  calls[0]!.resolve();
  await tick();
  expect(failures).toMatchObject([{ eventId: '0/3/0', error: obstacle, action: 'skip' }]);
  expect(ledger.confirmed).toBe(3n);
  await tick(1000);
  expect(ids()).toEqual([[1, 2], [4]]);
});

describe('ending', () => {
  test('the subscription drops the events being collected, and leaves no timer', async () => {
    const { sendAll, one, ids, ledger } = batching({ wait: 1000 });
    sendAll('1', '2');
    one.unsubscribe();
    expect([ledger.confirmed, vi.getTimerCount()]).toEqual([2n, 0]);
    await tick(2000);
    expect(ids()).toEqual([]);
  });

  test('the subscription in its own handler drops the events collected so far, not the running batch', async () => {
    const { sendAll, one, calls, ledger } = batching({ size: 2 });
    sendAll('1', '2', '3');
    one.unsubscribe();
    expect(ledger.confirmed).toBeUndefined();
    calls[0]!.resolve();
    await tick();
    expect([ledger.confirmed, calls.length]).toEqual([3n, 1]);
  });

  test('the watch delivers no event that is being collected, and acknowledges none of them', async () => {
    const { sendAll, ids, ledger, dispatcher } = batching({ wait: 1000, size: 3 });
    sendAll('1', '2');
    await dispatcher.close(1000, undefined);
    expect(vi.getTimerCount()).toBe(0);
    sendAll('3', '4'); // the rest of the last read
    await tick(2000);
    expect([ids(), ledger.confirmed, vi.getTimerCount()]).toEqual([[], undefined, 0]);
  });

  test('the watch waits for the running batch, and starts no other', async () => {
    const { sendAll, calls, ledger, dispatcher } = batching({ size: 2 });
    sendAll('1', '2', '3', '4', '5');
    const closed = dispatcher.close(1000, undefined);
    calls[0]!.resolve();
    await closed;
    expect([calls.length, ledger.confirmed, vi.getTimerCount()]).toEqual([1, 2n, 0]);
  });

  test('the watch leaves no timer when the first event arrives after its end', async () => {
    const { sendAll, dispatcher } = batching({ wait: 1000 });
    await dispatcher.close(1000, undefined);
    sendAll('1');
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('when memory is full', () => {
  test('the batch is delivered at once, because no more events can arrive', async () => {
    const { sendAll, ids, dispatcher } = batching({ wait: 60_000 });
    sendAll('1', '2');
    dispatcher.hurry();
    sendAll('3'); // this fills the memory
    await tick();
    expect([ids(), vi.getTimerCount()]).toEqual([[[1, 2, 3]], 0]);
  });

  test('the rest is delivered as soon as the handler is free', async () => {
    const { sendAll, ids, calls, dispatcher } = batching({ size: 2, wait: 60_000 });
    sendAll('1', '2', '3');
    dispatcher.hurry();
    await tick();
    expect(ids()).toEqual([[1, 2]]);
    calls[0]!.resolve();
    await tick();
    expect(ids()).toEqual([[1, 2], [3]]);
  });

  test('while others fill the memory, events are batched without waiting', async () => {
    const { sendAll, ids, calls, ledger } = batching({ wait: 60_000 });
    vi.spyOn(ledger, 'full', 'get').mockReturnValue(true);
    sendAll('1', '2');
    await tick();
    sendAll('3', '4');
    await tick();
    calls[0]!.resolve();
    await tick();
    expect(ids()).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  test('when there is room again, events are collected again', async () => {
    const { sendAll, ids, calls, dispatcher } = batching({ wait: 1000 });
    sendAll('1');
    dispatcher.hurry();
    await tick();
    calls[0]!.resolve();
    await tick();
    sendAll('2');
    await tick(999);
    expect(ids()).toEqual([[1]]);
    await tick(1);
    expect(ids()).toEqual([[1], [2]]);
  });
});
