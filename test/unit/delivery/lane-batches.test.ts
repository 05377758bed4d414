import { describe, expect, test } from 'vitest';
import { useFakeTime } from '../../support/fake-time.ts';
import { batching, type Call } from '../../support/batching.ts';

const tick = useFakeTime({ random: 1 });

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
