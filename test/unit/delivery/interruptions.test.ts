/** Failures that the handler did not cause, and events of a lost history. */
import { describe, expect, test, vi } from 'vitest';
import { Batch } from '../../../src/delivery/batch.ts';
import { HandlerContext } from '../../../src/delivery/context.ts';
import { Interrupted } from '../../../src/delivery/interrupted.ts';
import { afterAttempts, handling } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';

const tick = useFakeTime({ random: 1 });
const lost = new Interrupted('mail', new Error('the connection has ended'));

describe('an interrupted attempt', () => {
  test('is retried with backoff, does not count as an attempt, and is a warning once, not a failure of the handler', async () => {
    const { send, one, calls, failures, warnings, ledger, dispatcher } = handling({
      onError: afterAttempts(1, 'skip'),
    });
    send(one, '1');
    for (const [index, pause] of [100, 200, 400].entries()) {
      calls[index]!.reject(lost);
      await tick(pause - 1);
      expect(calls).toHaveLength(index + 1);
      expect(dispatcher.heldBy).toMatchObject({ eventId: '0/1/0', attempt: 1, error: lost });
      await tick(1);
    }
    expect(calls.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    expect([failures, warnings, ledger.confirmed]).toEqual([[], [lost], undefined]);
    calls[3]!.reject(new Error('broken'));
    await tick();
    expect(failures).toMatchObject([{ attempt: 1, action: 'skip' }]);
    expect(ledger.confirmed).toBe(1n);
  });

  test('is not retried when its subscription has ended, nor while the watch closes', async () => {
    const ended = handling();
    ended.send(ended.one, '1');
    ended.one.unsubscribe();
    ended.calls[0]!.reject(lost);
    await tick();
    expect([ended.ledger.confirmed, vi.getTimerCount()]).toEqual([1n, 0]);

    const closing = handling();
    closing.send(closing.one, '1');
    const closed = closing.dispatcher.close(1000, 'stop');
    closing.calls[0]!.reject(lost);
    await closed;
    expect([closing.ledger.confirmed, vi.getTimerCount()]).toEqual([undefined, 0]);
  });
});

test('with transaction the timeout counts from the call of the handler, not while its session is being opened', async () => {
  const contexts: HandlerContext[] = [];
  const { send, one, calls, failures } = handling({ transaction: true, timeout: 1000 });
  const { handler } = one;
  Object.assign(one, {
    handler: (event: unknown, context: HandlerContext) => {
      contexts.push(context);
      return handler(event, context);
    },
  });
  send(one, '1');
  await tick(5000);
  expect(failures).toEqual([]);
  HandlerContext.called(contexts[0]!);
  await tick(1000);
  expect(failures).toMatchObject([{ error: { code: 'HANDLER_TIMEOUT' } }]);
  calls[0]!.resolve();
  await tick();
});

describe('when a history is lost', () => {
  test('waiting events and pending retries are dropped; running handlers may finish, and nothing follows', async () => {
    const { send, one, calls, dispatcher, ledger, failures } = handling();
    for (const id of ['1', '2', '3']) send(one, id);
    expect(dispatcher.discard('lost')).toBe(2);
    expect(calls[0]!.signal.aborted).toBe(false);
    calls[0]!.reject(new Error('broken'));
    await tick(1000);
    expect([calls.length, failures, ledger.confirmed, one.lane]).toEqual([1, [], 3n, undefined]);

    send(one, '4');
    calls[1]!.reject(new Error('broken'));
    await tick();
    expect(dispatcher.discard('lost')).toBe(1);
    expect([vi.getTimerCount(), ledger.confirmed]).toEqual([0, 4n]);
  });

  test('a handler whose transaction would move a position of that history is aborted', () => {
    const { send, one, calls, dispatcher } = handling({ transaction: true });
    send(one, '1');
    expect(dispatcher.discard('lost')).toBe(0);
    expect(calls[0]!.signal.reason).toBe('lost');
  });

  test('the events collected for a batch are dropped and counted', async () => {
    const { send, one, dispatcher, ledger } = handling({ batch: { size: 2, wait: 1000, latest: false } });
    for (const id of ['1', '2', '3', '4', '5']) send(one, id);
    expect(dispatcher.deliveries).toBe(3); // two batches and one event
    expect(one.lane!.oldest!.deliverable).toBeInstanceOf(Batch);
    expect(dispatcher.discard('lost')).toBe(3);
    await tick();
    expect(ledger.confirmed).toBeUndefined(); // the first batch runs
  });

  test('writing a dead letter that failed before is not retried', async () => {
    const { send, one, calls, dispatcher, ledger } = handling({ onError: afterAttempts(1, 'deadLetter') });
    send(one, '1');
    calls[0]!.reject(new Error('broken'));
    await tick();
    expect(vi.getTimerCount()).toBe(1);
    expect(dispatcher.discard('lost')).toBe(1);
    expect([vi.getTimerCount(), ledger.confirmed]).toEqual([0, 1n]);
  });
});
