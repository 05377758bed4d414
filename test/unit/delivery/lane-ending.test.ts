import { describe, expect, test, vi } from 'vitest';
import type { Recipient } from '../../../src/delivery/recipient.ts';
import { WatchError } from '../../../src/errors.ts';
import { afterAttempts, dispatching, handling, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';

const tick = useFakeTime();
const broken = new Error('broken');

describe('when a subscription ends', () => {
  test('waiting events are not delivered, and do not hold the position', async () => {
    const { send, one, calls, ledger } = handling();
    for (const id of ['1', '2', '3']) send(one, id);
    one.unsubscribe();
    calls[0]!.resolve();
    await tick();
    expect([calls.length, ledger.confirmed, one.lane]).toEqual([1, 3n, undefined]);
  });

  test('its running handler is still awaited', async () => {
    const { send, one, calls, ledger, dispatcher } = handling({ concurrency: 2 });
    for (const id of ['1', '2', '3']) send(one, id);
    one.unsubscribe();
    calls[1]!.resolve();
    await tick();
    expect([ledger.confirmed, dispatcher.running]).toEqual([undefined, 1]);
    calls[0]!.resolve();
    await tick();
    expect([ledger.confirmed, calls.length]).toEqual([3n, 2]);
  });

  test('a pending retry is cancelled', async () => {
    const { send, one, calls, ledger, dispatcher } = handling();
    for (const id of ['1', '2']) send(one, id);
    calls[0]!.reject(broken);
    await tick();
    one.unsubscribe();
    expect([ledger.confirmed, vi.getTimerCount(), dispatcher.heldBy]).toEqual([2n, 0, undefined]);
    await vi.runAllTimersAsync();
    expect(calls).toHaveLength(1);
  });

  test('a running handler that then fails is reported, and not retried', async () => {
    const { send, one, calls, ledger, failures } = handling();
    send(one, '1');
    one.unsubscribe();
    calls[0]!.reject(broken);
    await tick();
    expect([failures.length, ledger.confirmed, vi.getTimerCount()]).toEqual([1, 1n, 0]);
    expect(calls).toHaveLength(1);
  });

  test('a running handler over its timeout is still awaited, and not retried', async () => {
    const { send, one, calls, ledger } = handling({ timeout: 1000 });
    send(one, '1');
    await tick(1000);
    one.unsubscribe();
    expect(ledger.confirmed).toBeUndefined();
    calls[0]!.resolve();
    await vi.runAllTimersAsync();
    expect([calls.length, ledger.confirmed]).toEqual([1, 1n]);
  });

  test('with concurrency: what waited for a record is not delivered when that is free', async () => {
    const { send, one, calls, ledger } = handling({ concurrency: 4 });
    for (const id of ['1', '1', '1']) send(one, id);
    one.unsubscribe();
    calls[0]!.resolve();
    await tick();
    expect([calls.length, ledger.confirmed]).toEqual([1, 3n]);
  });
});

describe('when a watch ends', () => {
  test('events that wait or still arrive are not delivered, and hold the position for the next start', async () => {
    const { send, one, calls, ledger, dispatcher } = handling();
    for (const id of ['1', '2']) send(one, id);
    const closing = dispatcher.close(1000, 'stop');
    send(one, '3');
    calls[0]!.resolve();
    await closing;
    await vi.runAllTimersAsync();
    expect([calls.length, ledger.confirmed]).toEqual([1, 1n]);
  });

  test('a skip that was decided while it closes still counts', async () => {
    const { send, one, calls, ledger, dispatcher } = handling({ onError: () => 'skip' });
    send(one, '1');
    const closing = dispatcher.close(1000, 'stop');
    calls[0]!.reject(broken);
    await closing;
    expect(ledger.confirmed).toBe(1n);
  });
});

describe('a paused subscription', () => {
  const pausable = (handler: Recipient['handler']) => Object.assign(recipient(handler), { paused: true });

  test('keeps its events until it is resumed, in order', () => {
    const { send, ledger } = dispatching();
    const seen: number[] = [];
    const one = pausable((event) => {
      seen.push(event.id);
      one.paused = event.id === 2;
    });
    for (const id of ['1', '2', '3']) send(one, id);
    expect([seen, ledger.confirmed]).toEqual([[], undefined]);
    one.paused = false;
    one.lane!.run();
    expect([seen, ledger.confirmed]).toEqual([[1, 2], 2n]);
  });

  test('can end while they wait', () => {
    const { send, ledger } = dispatching();
    const one = pausable(() => {});
    send(one, '1');
    one.unsubscribe();
    expect([ledger.confirmed, one.lane]).toEqual([1n, undefined]);
  });
});

describe('an event that no attempt can deliver', () => {
  const obstacle = new WatchError('VALUE_ABSENT', 'not sent');

  test('goes to the final action of onError at once, in its turn', async () => {
    const { send, one, calls, failures, ledger } = handling({ onError: afterAttempts(2, 'skip') });
    send(one, '1');
    send(one, '2', { obstacle });
    send(one, '3');
    expect(failures).toEqual([]);
    calls[0]!.resolve();
    await tick();
    expect(failures).toMatchObject([{ attempt: 1, action: 'skip', error: obstacle }]);
    expect([calls.length, ledger.confirmed]).toEqual([2, 2n]);
  });

  test('is held when onError only retries, and is reported once, with a warning', async () => {
    const { send, one, failures, warnings, ledger, dispatcher } = handling();
    send(one, '1', { obstacle });
    await tick(1_000_000);
    expect(failures).toMatchObject([{ action: 'retry', retryIn: undefined, error: obstacle }]);
    expect(warnings).toMatchObject([{ code: 'HANDLER_FAILED', cause: obstacle }]);
    expect([ledger.confirmed, dispatcher.heldBy]).toMatchObject([undefined, { eventId: '0/1/0', error: obstacle }]);
    one.unsubscribe();
    expect(ledger.confirmed).toBe(1n);
  });
});
