import { describe, expect, test, vi } from 'vitest';
import type { Captured } from '../../../src/changes/ledger.ts';
import { WatchError } from '../../../src/errors.ts';
import { afterAttempts, dispatching, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { deferred } from '../../support/until.ts';
import { batching } from '../../support/batching.ts';

const tick = useFakeTime({ random: 1 });

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

test('events behind one that goes to onError alone wait for it, also if the batch before it was handled at once', async () => {
  const { send, dispatcher } = dispatching();
  const handled: unknown[] = [];
  const one = recipient((events) => void handled.push(events.map(({ id }: { id: number }) => id)), {
    batch: { size: 9, wait: 0, latest: false },
  });
  send(one, '1');
  send(one, '2', { obstacle: new WatchError('VALUE_ABSENT', 'absent') }); // onError is 'retry': it is held
  send(one, '3');
  await tick(1000);
  expect([handled, dispatcher.heldBy?.eventId, dispatcher.deliveries]).toEqual([[[1]], '0/2/0', 2]);
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
    dispatcher.sendBatches();
    sendAll('3'); // this fills the memory
    await tick();
    expect([ids(), vi.getTimerCount()]).toEqual([[[1, 2, 3]], 0]);
  });

  test('the rest is delivered as soon as the handler is free', async () => {
    const { sendAll, ids, calls, dispatcher } = batching({ size: 2, wait: 60_000 });
    sendAll('1', '2', '3');
    dispatcher.sendBatches();
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
    dispatcher.sendBatches();
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
