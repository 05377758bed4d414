import { describe, expect, test, vi } from 'vitest';
import { HandlerHook } from '../../../src/delivery/handler-hook.ts';
import type { Recipient } from '../../../src/delivery/recipient.ts';
import { useFakeTime } from '../../support/fake-time.ts';
import { descriptor, emitted, messaging } from '../../support/messaging.ts';
import { recorder } from '../../support/recorder.ts';

useFakeTime();
const placed = descriptor<{ id: number }>('order.placed');

describe('a message of an outbox', () => {
  test('reaches the handlers of its name with value and key, in the order of subscribing, and those of its prefix as bytes', () => {
    const { onMessage, emit } = messaging();
    const heard: unknown[] = [];
    onMessage(placed, (message) => heard.push(['a', message]), undefined);
    onMessage(placed.prefix, ({ content }) => heard.push(['prefix', content.toString()]), undefined);
    onMessage(descriptor('order.placed'), (message) => heard.push(['b', message]), undefined);
    for (const other of ['order.placed.x', 'order', 'Order.placed'])
      onMessage(descriptor(other), () => heard.push(other), undefined);
    emit('order.placed', { id: 7 }, '42');
    emit('order.placed', null);
    const message = { name: 'order.placed', value: { id: 7 }, key: '42' };
    const without = { name: 'order.placed', value: null, key: undefined };
    expect(heard).toEqual([
      ['a', message], ['prefix', emitted({ id: 7 }, '42')], ['b', message],
      ['a', without], ['prefix', emitted(null)], ['b', without],
    ]); // prettier-ignore
  });

  test('is read once for all its handlers, and only if it is delivered to one', () => {
    const { onMessage, write, router } = messaging();
    const [first, second] = [recorder(), recorder()];
    const subscription = onMessage(placed, first, undefined);
    onMessage(placed, second, undefined);
    write(placed.prefix, emitted([1]));
    expect(first.all[0]).toBe(second.all[0]);
    expect(Object.isFrozen(first.all[0])).toBe(true);
    subscription.unsubscribe();
    expect(router.messages.has(placed.prefix)).toBe(true);
  });

  test('has a subscription that is named after it, and counts as one', () => {
    const { onMessage, router } = messaging();
    const one = onMessage(placed, () => {}, undefined);
    const two = onMessage(placed, () => {}, { name: 'mailer' });
    expect([one.name, one.watcher, two.name, router.subscriptions]).toEqual(
      ['message:order.placed', 'message:order.placed', 'mailer', 2],
    ); // prettier-ignore
    one.unsubscribe();
    two.unsubscribe();
    expect([router.subscriptions, router.messages.has(placed.prefix)]).toEqual([0, false]);
  });
});

describe('bytes that emit() does not write', () => {
  const wrong = ['{', '7', 'null', '{"key":"a"}', '{"key":1,"value":2}', '{"__proto__":{"value":1}}', Buffer.of(0xff)];

  test.each(wrong)('fail like a handler that throws, and do not reach it: %s', async (content) => {
    const { onMessage, write, failures, emit } = messaging();
    const [handler, bytes] = [recorder(), recorder()];
    onMessage(placed, handler, { onError: { attempts: 3, then: 'skip' } });
    onMessage(placed.prefix, bytes, undefined);
    write(placed.prefix, content);
    emit('order.placed', 'next');
    expect(bytes.all).toHaveLength(2);
    await vi.runAllTimersAsync();
    expect(failures.map(({ attempt, action, error }) => [attempt, action, (error as { code: string }).code])).toEqual([
      [1, 'retry', 'MESSAGE_INVALID'],
      [2, 'retry', 'MESSAGE_INVALID'],
      [3, 'skip', 'MESSAGE_INVALID'],
    ]);
    expect(handler.all).toEqual([{ name: 'order.placed', value: 'next', key: undefined }]);
  });

  test('count as failed attempts in metrics', () => {
    const hook = new HandlerHook('worker');
    const attempts = recorder(({ watcher }: Recipient, _: number, done: boolean) => [watcher, done]);
    hook.add({ attempted: attempts, failed: () => {} });
    const { onMessage, write, emit } = messaging({ hook });
    onMessage(placed, () => {}, { onError: { attempts: 1, then: 'skip' } });
    write(placed.prefix, '');
    emit('order.placed', 1);
    expect(attempts.all).toEqual([
      ['message:order.placed', false],
      ['message:order.placed', true],
    ]);
  });

  test('do not fail the batch that the message would belong to, and stay in order', async () => {
    const { onMessage, write, emit, failures, buried, ledger } = messaging();
    const batches = recorder((messages: { value: unknown }[]) => messages.map(({ value }) => value));
    onMessage(placed, batches, { batch: { size: 10 }, onError: { attempts: 2, then: 'deadLetter' } });
    for (const value of [1, 2]) emit('order.placed', value, 'a');
    write(placed.prefix, 'not JSON');
    for (const value of [3, 4]) emit('order.placed', value, 'a');
    await vi.runAllTimersAsync();
    expect(batches.all).toEqual([[1, 2], [3, 4]]); // prettier-ignore
    expect(failures.map(({ eventId, attempt }) => [eventId, attempt])).toEqual([['0/3/m0', 1], ['0/3/m0', 2]]); // prettier-ignore
    expect(buried.map(({ deliverable }) => deliverable.letter().event['content'])).toEqual([
      Buffer.from('not JSON').toString('hex'),
    ]);
    expect(ledger.settled).toBe(true);
  });

  test('with concurrency: the message counts as one without a key', async () => {
    const { onMessage, write, emit } = messaging();
    const values = recorder(({ value }: { value: unknown }) => value);
    onMessage(placed, values, { concurrency: 4, onError: { attempts: 2, then: 'skip' } });
    write(placed.prefix, '{"key":"a"}');
    emit('order.placed', 'no key');
    emit('order.placed', 'a', 'a');
    expect(values.all).toEqual(['a']);
    await vi.runAllTimersAsync();
    expect(values.all).toEqual(['a', 'no key']);
  });
});

describe('a batch', () => {
  test('is an array of messages with a context for each', async () => {
    const { onMessage, emit } = messaging();
    const batches: unknown[] = [];
    onMessage(placed, (messages, { contexts, attempt, signal }) => {
      batches.push([messages, contexts.map(({ eventId }: { eventId: string }) => eventId), attempt, signal.aborted]);
    }, { batch: { size: 2 } }); // prettier-ignore
    for (const value of [1, 2, 3]) emit('order.placed', value, 'k');
    await vi.runAllTimersAsync();
    const message = (value: number) => ({ name: 'order.placed', value, key: 'k' });
    expect(batches).toEqual([
      [[message(1), message(2)], ['0/1/m0', '0/2/m0'], 1, false],
      [[message(3)], ['0/3/m0'], 1, false],
    ]);
  });

  test('of a plain prefix has the messages as they are', async () => {
    const { onMessage, write } = messaging();
    const batches = recorder();
    onMessage('outbox', batches, { batch: { size: 10 } });
    for (const content of ['a', 'b']) write('outbox', content);
    await vi.runAllTimersAsync();
    const message = (content: string) => ({ prefix: 'outbox', transactional: true, content: Buffer.from(content) });
    expect(batches.all).toEqual([[message('a'), message('b')]]);
  });

  test('with latest has the newest message of each key, and every message without one', async () => {
    const { onMessage, emit } = messaging();
    const batches = recorder((messages: { value: unknown }[]) => messages.map(({ value }) => value));
    onMessage(placed, batches, { batch: { size: 10, latest: true } });
    emit('order.placed', 'a1', 'a');
    emit('order.placed', 'none 1');
    emit('order.placed', 'empty 1', '');
    emit('order.placed', 'a2', 'a');
    emit('order.placed', 'none 2');
    emit('order.placed', 'empty 2', '');
    emit('order.placed', 'b1', 'b');
    await vi.runAllTimersAsync();
    expect(batches.all).toEqual([['none 1', 'a2', 'none 2', 'empty 2', 'b1']]);
  });
});

describe('onMessage refuses', () => {
  const subscribe = (...given: unknown[]) => {
    const { onMessage, router } = messaging();
    try {
      (onMessage as (...all: unknown[]) => unknown)(...given);
    } catch (error) {
      expect(router.subscriptions).toBe(0);
      return (error as { issues: { message: string }[] }).issues.map(({ message }) => message);
    }
    return [];
  };
  const handler = () => {};

  test.each([
    [{ name: 'a', prefix: 'a' }],
    [{ name: 'a', prefix: 'walwatch:message:b' }],
    [{ name: '', prefix: 'walwatch:message:' }],
    [{ prefix: 'walwatch:message:undefined' }],
    [null],
    [undefined],
    [() => {}],
  ])('%o, which no outbox returns', (given) => {
    expect(subscribe(given, handler)).toEqual([expect.stringContaining('expects a prefix or an outbox message, not')]);
  });

  test('options that need a key, with a plain prefix', () => {
    expect(subscribe('outbox', handler, { concurrency: 2, batch: { size: 2, latest: true } })).toEqual([
      'messages with the prefix "outbox" have no key, so concurrency cannot keep messages of one record in order',
      'messages with the prefix "outbox" have no key, so batch.latest cannot tell which ones are outdated',
    ]);
    expect(subscribe(placed, handler, { concurrency: 2, batch: { size: 2, latest: true } })).toEqual([]);
    expect(subscribe('outbox', handler, { concurrency: 1, batch: { size: 2 } })).toEqual([]);
  });

  test('misspelt options', () => {
    expect(subscribe(placed, handler, { concurency: 2, batch: { size: 2, lastest: true }, existing: 'v1' })).toEqual([
      "unknown subscribe option 'concurency'",
      "unknown subscribe option 'existing'",
      "unknown batch option 'lastest'",
    ]);
  });
});
