import { expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { dispatching, occurrence, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { transactionAt } from '../../support/sample-changes.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime({ now: Date.UTC(2024, 0, 1) });

test('a synchronous handler is called at once, and its event is handled without being held', () => {
  const { dispatcher, ledger, send } = dispatching();
  const handler = vi.fn();
  const one = recipient(handler);
  const hold = vi.spyOn(ledger, 'hold');
  send(one, '1');
  expect(hold).not.toHaveBeenCalled();
  expect(handler.mock.calls.map(([event, context]) => [event, context.attempt])).toEqual([[{ id: 1 }, 1]]);
  expect([ledger.confirmed, dispatcher.running, dispatcher.heldBy, one.lane]).toEqual([1n, 0, undefined, undefined]);
});

test('an event is handled once the promise of its handler resolves, whatever the value', async () => {
  const { dispatcher, ledger, send } = dispatching();
  const done = deferred<unknown>();
  send(recipient(() => done.promise), '1'); // prettier-ignore
  await tick();
  expect([ledger.confirmed, dispatcher.running]).toEqual([undefined, 1]);
  done.resolve('whatever');
  await tick();
  expect([ledger.confirmed, dispatcher.running]).toEqual([1n, 0]);
});

test('a thenable is awaited like a promise', async () => {
  const { ledger, send } = dispatching();
  let finish = () => {};
  const handler = () => ({ then: (resolve: () => void) => void (finish = resolve) });
  send(recipient(handler), '1');
  await tick();
  expect(ledger.confirmed).toBeUndefined();
  finish();
  await tick();
  expect(ledger.confirmed).toBe(1n);
});

test.each([
  ['throws when it is asked', { then() { throw new Error('broken'); } }],
  ['cannot even be looked at', Object.defineProperty({}, 'then', { get() { throw new Error('broken'); } })],
  ['is a function', Object.assign(() => {}, { then: (_: unknown, reject: (error: Error) => void) => reject(new Error('broken')) })],
])('a thenable that %s is a failure, and later events are still delivered', async (_, thenable) => {
  const { ledger, dispatcher, failures, send } = dispatching();
  const one = recipient((event) => (event.id === 2 ? undefined : thenable), { onError: () => 'skip' });
  for (const id of ['1', '3', '2']) send(one, id);
  await tick();
  expect(failures).toMatchObject([{ error: new Error('broken') }, { error: new Error('broken') }]);
  expect([ledger.confirmed, dispatcher.running, one.lane]).toEqual([3n, 0, undefined]);
}); // prettier-ignore

test('a thenable that calls back synchronously is done', async () => {
  const { ledger, send } = dispatching();
  const one = recipient(() => ({ then: (resolve: () => void) => resolve() }));
  for (const id of ['1', '2']) send(one, id);
  await tick();
  expect([ledger.confirmed, one.lane]).toEqual([2n, undefined]);
});

test('subscriptions do not wait for each other, but the position waits for all of them', async () => {
  const { ledger, send } = dispatching();
  const slow = deferred();
  const fast = vi.fn();
  const all = [recipient(() => slow.promise), recipient(fast)];
  for (const id of ['1', '2', '3']) send(all, id);
  expect(fast).toHaveBeenCalledTimes(3);
  expect(ledger.confirmed).toBeUndefined();
  slow.resolve();
  await tick();
  expect(ledger.confirmed).toBe(3n);
});

test('the oldest unhandled event is reported with the subscription that it waits for', async () => {
  const { dispatcher, send } = dispatching();
  const done = [deferred(), deferred()];
  const handlers = done.map(({ promise }, index) => recipient(() => promise, { name: `handler ${index}` }));
  send(handlers[0]!, '1');
  await tick(1000);
  send([...handlers].reverse(), '2');
  const since = new Date(Date.UTC(2024, 0, 1));
  expect(dispatcher.heldBy).toEqual({
    subscription: 'handler 0', eventId: '0/1/0', since, attempt: 1, error: undefined,
    sql: `SELECT * FROM "public"."users" WHERE "id" = '1';`,
  }); // prettier-ignore
  done[0]!.resolve();
  await tick();
  const later = new Date(since.getTime() + 1000);
  expect(dispatcher.heldBy).toMatchObject({ subscription: 'handler 1', eventId: '0/2/0', since: later });
  done[1]!.resolve();
  await tick();
  expect(dispatcher.heldBy).toBeUndefined();
});

test('within a transaction the first event is the oldest', () => {
  const { dispatcher } = dispatching();
  const transaction = transactionAt(0x100n);
  for (const ordinal of [5, 3, 4])
    dispatcher.deliver(
      recipient(() => new Promise(() => {})),
      occurrence('1', { transaction, ordinal }),
      undefined,
    );
  expect(dispatcher.heldBy).toMatchObject({ eventId: '0/100/3' });
  const earlier = occurrence('1', { transaction: transactionAt(0x90n), ordinal: 9 });
  dispatcher.deliver(
    recipient(() => new Promise(() => {})),
    earlier,
    undefined,
  );
  expect(dispatcher.heldBy).toMatchObject({ eventId: '0/90/9' });
});

test('the event that holds the position is reported with its attempt and error', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1);
  const { dispatcher, send } = dispatching();
  const broken = new Error('broken');
  send(recipient(() => Promise.reject(broken)), '1'); // prettier-ignore
  await tick(100);
  expect(dispatcher.heldBy).toMatchObject({ attempt: 3, error: broken });
});

test('an obstacle goes to onError instead of the handler, even when no other event waits', async () => {
  const { ledger, failures, send } = dispatching();
  const obstacle = new WatchError('VALUE_ABSENT', 'not sent');
  const handler = vi.fn();
  const onError = vi.fn(() => 'skip' as const);
  send(recipient(handler, { onError }), '1', { obstacle });
  await tick();
  expect(handler).not.toHaveBeenCalled();
  expect(onError.mock.calls).toEqual([[obstacle, expect.objectContaining({ eventId: '0/1/0', attempt: 1 })]]);
  expect(failures).toMatchObject([{ error: obstacle, action: 'skip', retryIn: undefined }]);
  expect(ledger.confirmed).toBe(1n);
});

test('the time of the last event is recorded', () => {
  const { dispatcher, send } = dispatching();
  expect(dispatcher.lastEventAt).toBe(0);
  send(recipient(() => {}), '1'); // prettier-ignore
  expect(dispatcher.lastEventAt).toBe(Date.UTC(2024, 0, 1));
});

test('once closing, no handler is called, and unhandled events are not confirmed', async () => {
  const { dispatcher, ledger, send } = dispatching();
  const handler = vi.fn();
  await dispatcher.close(1000, 'stop');
  send(recipient(handler), '1');
  await tick();
  expect(handler).not.toHaveBeenCalled();
  expect([ledger.confirmed, vi.getTimerCount()]).toEqual([undefined, 0]);
});

test('closing waits for running handlers, and their events count as handled', async () => {
  const { dispatcher, ledger, send } = dispatching();
  const done = deferred();
  const one = recipient(() => done.promise);
  for (const id of ['1', '2']) send(one, id);
  let closed = false;
  const closing = dispatcher.close(1000, 'stop').then(() => {
    closed = true;
    return ledger.confirmed;
  });
  await tick(999);
  expect(closed).toBe(false);
  done.resolve();
  expect(await closing).toBe(1n);
  expect([dispatcher.running, vi.getTimerCount()]).toEqual([0, 0]);
});

test('after its timeout closing aborts the signals, and waits once more for handlers that react', async () => {
  const { dispatcher, ledger, send } = dispatching();
  const heeds = (_: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  let reason: unknown;
  const heeding = recipient((event, context) => heeds(event, context).then(() => (reason = context.signal.reason)));
  for (const id of ['1', '2']) send(heeding, id); // the second event waits, and has no signal to abort
  send(recipient(() => new Promise(() => {})), '2'); // prettier-ignore
  const closing = dispatcher.close(1000, 'stop');
  await tick(999);
  expect(reason).toBeUndefined();
  await tick(1 + 1); // an immediate is one step of the fake clock
  await closing;
  expect(reason).toBe('stop');
  expect([ledger.confirmed, dispatcher.running]).toEqual([1n, 1]);
});

test('a handler that fails while closing is not retried, and its event is not confirmed', async () => {
  const { dispatcher, ledger, send } = dispatching();
  const done = deferred();
  const handler = vi.fn(() => done.promise);
  send(recipient(handler), '1');
  const closing = dispatcher.close(1000, 'stop');
  done.reject(new Error('broken'));
  await closing;
  expect([ledger.confirmed, vi.getTimerCount()]).toEqual([undefined, 0]);
  expect(handler).toHaveBeenCalledTimes(1);
});

test('closing cancels pending retries', async () => {
  const { dispatcher, send } = dispatching();
  send(recipient(() => Promise.reject(new Error('broken'))), '1'); // prettier-ignore
  await tick();
  expect(vi.getTimerCount()).toBe(1);
  await dispatcher.close(1000, 'stop');
  expect(vi.getTimerCount()).toBe(0);
});

test('the clock is read once for a change, not once for each recipient', () => {
  const { dispatcher, send } = dispatching();
  const all = Array.from({ length: 100 }, () => recipient(() => {}));
  const now = vi.spyOn(Date, 'now');
  send(all, '1');
  expect(now).toHaveBeenCalledTimes(1);
  now.mockReturnValue(7);
  send(all, '2');
  expect(dispatcher.lastEventAt).toBe(7);
  now.mockRestore();
});
