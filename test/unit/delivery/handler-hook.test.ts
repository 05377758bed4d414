import { AsyncLocalStorage } from 'node:async_hooks';
import { tracingChannel } from 'node:diagnostics_channel';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { HandlerHook } from '../../../src/delivery/handler-hook.ts';
import type { Failure, Recipient } from '../../../src/delivery/recipient.ts';
import { AttemptTrace, type ConnectionTrace, type HandlerTrace } from '../../../src/delivery/tracing.ts';
import { dispatching, recipient } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { recorder } from '../../support/recorder.ts';
import { deferred } from '../../support/until.ts';

const tick = useFakeTime();

const parts = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;

/** Records what a channel publishes until the end of the test: the part, and a copy of the message. */
function listening<T extends object>(name: string) {
  const told: (readonly [part: string, message: T])[] = [];
  const channel = tracingChannel<T, T>(name);
  const listeners = Object.fromEntries(
    parts.map((part) => [part, (message: T) => void told.push([part, { ...message }])]),
  ) as unknown as Parameters<typeof channel.subscribe>[0];
  channel.subscribe(listeners);
  onTestFinished(() => channel.unsubscribe(listeners));
  return { told, channel, parts: () => told.map(([part]) => part) };
}

function observing() {
  const hook = new HandlerHook('worker');
  const attempted = recorder(({ name }: Recipient, seconds: number, done: boolean) => [name, seconds, done] as const);
  const failed = recorder(({ recipient: { name }, action }: Failure) => `${name} ${action}`);
  hook.add({ attempted, failed });
  return { ...dispatching({ hook }), attempts: attempted.all, failures: failed.all };
}

test('without observers and listeners the hook is off', () => {
  const hook = new HandlerHook('worker');
  expect(hook.on).toBe(false);
  hook.add({ attempted: () => {}, failed: () => {} });
  expect(hook.on).toBe(true);
});

describe('observers get', () => {
  test('the duration of a synchronous handler, without the event being held', () => {
    const { attempts, ledger, send } = observing();
    const hold = vi.spyOn(ledger, 'hold');
    send(recipient(() => void vi.advanceTimersByTime(20)), '1'); // prettier-ignore
    expect(attempts).toEqual([['users:updated', 0.02, true]]);
    expect(hold).not.toHaveBeenCalled();
    expect(ledger.confirmed).toBe(1n);
  });

  test('the duration of an asynchronous handler, and every failed attempt', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const { attempts, failures, ledger, send } = observing();
    const done = deferred();
    const results = [() => Promise.reject(new Error('first')), () => { throw new Error('second'); }, () => done.promise]; // prettier-ignore
    send(recipient(() => results.shift()!(), { name: 'mailer' }), '1'); // prettier-ignore
    await tick(1000);
    expect(ledger.confirmed).toBeUndefined();
    await tick(3000);
    done.resolve();
    await tick();
    expect(attempts.map(([name, , good]) => [name, good])).toEqual([['mailer', false], ['mailer', false], ['mailer', true]]); // prettier-ignore
    expect(attempts[2]![1]).toBeGreaterThan(3);
    expect(failures).toEqual(['mailer retry', 'mailer retry']);
    expect(ledger.confirmed).toBe(1n);
  });

  test('a failure when the handler finishes after its timeout', async () => {
    const { attempts, failures, send } = observing();
    const done = deferred();
    send(recipient(() => done.promise, { timeout: 10, onError: { attempts: 1, then: 'skip' } }), '1'); // prettier-ignore
    await tick(10);
    done.resolve();
    await tick();
    expect([attempts, failures]).toEqual([[['users:updated', 0.01, false]], ['users:updated skip']]);
  });

  test('one result of a lazy thenable, which is awaited only once', async () => {
    const { ledger, send } = observing();
    const { channel } = listening<HandlerTrace>('walwatch:handler');
    let queries = 0;
    const query = { then: (resolve: () => void) => (queries++, resolve()) };
    send(recipient(() => query), '1'); // prettier-ignore
    await tick();
    expect([queries, ledger.confirmed, channel.hasSubscribers]).toEqual([1, 1n, true]);
  });
});

describe('the tracing channel walwatch:handler', () => {
  const traced = () => ({ ...listening<HandlerTrace>('walwatch:handler'), ...dispatching({ hook: new HandlerHook('worker') }) }); // prettier-ignore

  test('publishes a synchronous handler with its arguments', () => {
    const { told, parts, send } = traced();
    let given: unknown;
    send(recipient((event, context) => void (given = [event, context]), { name: 'mailer' }), '1'); // prettier-ignore
    expect(parts()).toEqual(['start', 'end']);
    expect(told[1]![1].pending).toBe(false);
    const [, message] = told[0]!;
    expect(message).toMatchObject({ slot: 'worker', watcher: 'users:updated', subscription: 'mailer' });
    expect([message.event, message.context]).toEqual(given);
  });

  test('publishes when a promise settles', async () => {
    const { told, parts, send } = traced();
    const done = deferred();
    send(recipient(() => done.promise), '1'); // prettier-ignore
    await tick();
    expect(parts()).toEqual(['start', 'end']);
    expect(told[1]![1].pending).toBe(true);
    done.resolve();
    await tick();
    expect(parts()).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
  });

  test.each([
    ['throws', () => { throw new Error('broken'); }, ['start', 'error', 'end']],
    ['rejects', () => Promise.reject(new Error('broken')), ['start', 'end', 'error', 'asyncStart', 'asyncEnd']],
  ])('publishes the failure of a handler that %s', async (_, handler, expected) => {
    const { told, parts, failures, send } = traced();
    send(recipient(handler, { onError: { attempts: 1, then: 'skip' } }), '1');
    await tick();
    expect(parts()).toEqual(expected);
    expect(told.find(([part]) => part === 'error')![1].error).toEqual(new Error('broken'));
    expect(failures).toMatchObject([{ error: new Error('broken'), action: 'skip' }]);
  }); // prettier-ignore

  test('gives handlers the async context that is bound to its start', async () => {
    const { channel, send } = traced();
    const storage = new AsyncLocalStorage<HandlerTrace>();
    channel.start.bindStore(storage, (message) => message);
    onTestFinished(() => void channel.start.unbindStore(storage));
    const found: unknown[] = [];
    send(recipient(async () => {
      found.push(storage.getStore()?.context.eventId);
      await Promise.resolve();
      found.push(storage.getStore()?.context.eventId);
    }), '1'); // prettier-ignore
    await tick();
    expect(found).toEqual(['0/1/0', '0/1/0']);
    expect(storage.getStore()).toBeUndefined();
  });
});

describe('the tracing channel walwatch:connection', () => {
  const classify = (cause: unknown) => `classified ${String(cause)}`;

  test('publishes when an attempt streams, and nothing when that connection is lost later', async () => {
    const { told, parts } = listening<ConnectionTrace>('walwatch:connection');
    const connection = deferred();
    const trace = new AttemptTrace('worker', 3, classify);
    const running = trace.run(() => connection.promise);
    expect(parts()).toEqual(['start', 'end']);
    trace.over();
    expect(parts()).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
    connection.reject('lost');
    await expect(running).rejects.toBe('lost');
    expect(parts()).toHaveLength(4);
    expect(told[0]![1]).toEqual({ slot: 'worker', connects: 3 });
  });

  test('publishes why an attempt failed', async () => {
    const { told, parts } = listening<ConnectionTrace>('walwatch:connection');
    await expect(new AttemptTrace('worker', 0, classify).run(() => Promise.reject('refused'))).rejects.toBe('refused'); // prettier-ignore
    expect(parts()).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd']);
    expect(told.at(-1)![1].error).toBe('classified refused');
  });

  test('publishes nothing of an attempt that had no listener when it began', async () => {
    const trace = new AttemptTrace('worker', 0, classify);
    await trace.run(() => Promise.resolve());
    const { told } = listening<ConnectionTrace>('walwatch:connection');
    trace.over();
    expect(told).toEqual([]);
  });
});
