import { expect, test } from 'vitest';
import { dispatching, handling, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });

test('by default one event runs at a time, in commit order', async () => {
  const { send, one, calls, ids } = handling();
  for (const id of ['1', '2', '3']) send(one, id);
  expect(ids()).toEqual([1]);
  for (const [index, seen] of [[0, [1, 2]], [1, [1, 2, 3]]] as const) {
      calls[index]!.resolve();
      await tick();
      expect(ids()).toEqual(seen);
    } // prettier-ignore
});

test('with concurrency events of different records run at once, up to that number, and those of one record never', async () => {
  const { send, one, calls, ids } = handling({ concurrency: 2 });
  for (const id of ['1', '1', '2', '3']) send(one, id);
  expect(ids()).toEqual([1, 2]);
  calls[1]!.resolve();
  await tick();
  expect(ids()).toEqual([1, 2, 3]);
  calls[0]!.resolve();
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
  calls[0]!.resolve();
  await tick();
  expect(ids()).toEqual([1, 2]);
  calls[1]!.resolve();
  await tick();
  expect(ids()).toEqual([1, 2, 2]);
  calls[2]!.resolve();
  await tick();
  expect(ids()).toEqual([1, 2, 2, 1, 2]);
});

test('a retry keeps the order of its record, while others run', async () => {
  const { send, one, calls, ids } = handling({ concurrency: 2 });
  for (const id of ['1', '1', '2', '3']) send(one, id);
  calls[0]!.reject(new Error('broken'));
  await tick();
  expect(ids()).toEqual([1, 2, 3]); // a waiting retry does not use up concurrency
  for (const call of calls) call.resolve();
  await tick(100);
  expect(calls.slice(3)).toMatchObject([{ id: 1, attempt: 2 }]);
  calls[3]!.resolve();
  await tick();
  expect(calls.slice(4)).toMatchObject([{ id: 1, attempt: 1 }]);
});

test('without concurrency a retry holds all later events', async () => {
  const { send, one, calls, ledger } = handling();
  for (const id of ['1', '2']) send(one, id);
  calls[0]!.reject(new Error('broken'));
  await tick(99);
  expect(calls).toHaveLength(1);
  await tick(1);
  expect(calls.slice(1)).toMatchObject([{ id: 1, attempt: 2 }]);
  expect(ledger.confirmed).toBeUndefined();
});

test('a handler that is sometimes synchronous keeps the order too', async () => {
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
