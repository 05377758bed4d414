import { expect, test, vi } from 'vitest';
import { afterAttempts, dispatching, handling, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime({ random: 1 });

test.each([
    ['throws', () => { throw new Error('broken'); }],
    ['rejects', () => Promise.reject(new Error('broken'))],
  ])('a handler that %s is retried with backoff, and every failure is reported', async (_, handler) => {
    const { send, failures, ledger, stops } = dispatching();
    const calls = vi.fn(handler);
    send(recipient(calls, { name: 'mail' }), '1');
    await tick(100 + 200 + 399);
    expect(calls).toHaveBeenCalledTimes(3);
    expect(failures.map(({ attempt, action, retryIn, eventId }) => [attempt, action, retryIn, eventId])).toEqual([
      [1, 'retry', 100, '0/1/0'],
      [2, 'retry', 200, '0/1/0'],
      [3, 'retry', 400, '0/1/0'],
    ]);
    expect(failures[0]).toMatchObject({ error: new Error('broken'), recipient: { name: 'mail' } });
    expect([ledger.confirmed, stops]).toEqual([undefined, []]);
  }); // prettier-ignore

test('an event is skipped when the user asked for it, and later events are delivered', async () => {
  const { send, one, calls, ledger, stops } = handling({ onError: afterAttempts(2, 'skip') });
  for (const id of ['1', '2']) send(one, id);
  calls[0]!.reject(new Error('broken'));
  await tick(100);
  calls[1]!.reject(new Error('broken'));
  await tick();
  expect(calls.map(({ id, attempt }) => [id, attempt])).toEqual([[1, 1], [1, 2], [2, 1]]); // prettier-ignore
  expect([ledger.confirmed, stops, vi.getTimerCount()]).toEqual([1n, [], 0]);
});

test('several events whose handlers throw synchronously are skipped one after the other', () => {
  const { send, ledger, failures } = dispatching();
  const one = recipient(() => { throw new Error('broken'); }, { onError: () => 'skip' }); // prettier-ignore
  for (const id of ['1', '2', '3']) send(one, id);
  expect([failures.length, ledger.confirmed, one.lane, vi.getTimerCount()]).toEqual([3, 3n, undefined, 0]);
});

test('any number of events can be skipped without exhausting the stack', async () => {
  const { send, ledger, failures } = dispatching();
  const first = deferred();
  const one = recipient(
    (event) => {
      if (event.id === 0) return first.promise;
      throw new Error('broken');
    },
    { onError: () => 'skip' },
  );
  for (let id = 0; id < 20_000; id++) send(one, `${id}`);
  first.resolve();
  await tick();
  expect([failures.length, ledger.confirmed]).toEqual([19_999, 20_000n]);
});

test('an error that cannot become a string stops the watch too', async () => {
  const { send, one, calls, stops } = handling({ onError: afterAttempts(1, 'stop') });
  send(one, '1');
  calls[0]!.reject(Object.create(null));
  await tick();
  expect(stops).toMatchObject([{ code: 'HANDLER_FAILED', message: expect.stringContaining('null prototype') }]);
});

test('a failure stops the watch when the user asked for it, and its event is never confirmed', async () => {
  const { send, one, calls, ledger, stops } = handling({ onError: afterAttempts(1, 'stop') });
  for (const id of ['1', '2']) send(one, id);
  const broken = new Error('broken');
  calls[0]!.reject(broken);
  await vi.runAllTimersAsync();
  expect(stops).toMatchObject([{ code: 'HANDLER_FAILED', cause: broken, message: expect.stringContaining('0/1/0') }]);
  expect([calls.length, ledger.confirmed]).toEqual([1, undefined]);
});

test('nothing is skipped unless the user asked for it: not by another word, and not by an onError that throws', async () => {
    const [broken, worse] = [new Error('broken'), new Error('worse')];
    for (const [onError, error] of [[() => 'ignore' as 'skip', broken], [() => { throw worse; }, worse]] as const) {
      const { send, ledger, failures } = dispatching();
      send(recipient(() => Promise.reject(broken), { onError }), '1');
      await tick();
      expect(failures).toMatchObject([{ action: 'retry', retryIn: 100, error }]);
      expect(ledger.confirmed).toBeUndefined();
    }
  }); // prettier-ignore
