/** Outbox messages and plain logical messages that a test delivers. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../../src/index.ts';
import { createOutbox } from '../../../src/outbox/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { recorder } from '../../support/recorder.ts';
import { type Deferred, deferred } from '../../support/until.ts';

const watchers = defineWatchers([['users', 'inserted']]);
interface Messages {
  'order.placed': { id: number; at?: string };
  'order.paid': { id: number };
}
const outbox = createOutbox<Messages>();
const placed = outbox.message('order.placed');

test('a handler of the message gets its value, key and annotations', async () => {
  const watch = createTestWatch(watchers);
  const [handler, other] = [recorder(), recorder()];
  watch.onMessage(placed, handler);
  watch.onMessage(outbox.message('order.paid'), other);
  const at = new Date(0).toJSON();
  await watch.deliverMessage(placed, { id: 7, at }, { key: '7', annotations: { actor: 'user:7' }, times: 2 });
  await watch.deliverMessage(placed, { id: 8 });
  expect(handler.all).toEqual([
    { name: 'order.placed', key: '7', value: { id: 7, at } },
    { name: 'order.placed', key: '7', value: { id: 7, at } },
    { name: 'order.placed', key: undefined, value: { id: 8 } },
  ]);
  const [first, again, second] = handler.contexts;
  expect(first).toMatchObject({ eventId: `${first!.commitLsn}/m0`, annotations: { actor: 'user:7' }, attempt: 1 });
  expect([again!.eventId, second!.annotations]).toEqual([first!.eventId, {}]);
  expect(other.all).toEqual([]);
});

test('a value goes through JSON, and what emit refuses is refused', async () => {
  const watch = createTestWatch(watchers);
  const handler = recorder();
  watch.onMessage(placed, handler);
  const value = { id: 7, more: undefined };
  await watch.deliverMessage(placed, value);
  expect(handler.all[0].value).toStrictEqual({ id: 7 });
  const wrong = { id: 7n as unknown as number, at: new Date(0) as unknown as string };
  const refused = watch.deliverMessage(placed, wrong, { annotations: { at: new Date(0) } });
  await expect(refused).rejects.toMatchObject({
    issues: [
      { message: 'annotations.at is a Date' },
      { message: 'value.id is a bigint (7n)' },
      { message: 'value.at is a Date' },
    ],
  });
  expect(handler.all).toHaveLength(1);
});

test('a plain message has its content as bytes', async () => {
  const watch = createTestWatch(watchers);
  const handler = recorder();
  watch.onMessage('cache', handler);
  await watch.deliverMessage('cache', 'users');
  await watch.deliverMessage('cache', Uint8Array.of(0, 255));
  await watch.deliverMessage('other', '');
  expect(handler.all).toEqual([
    { prefix: 'cache', content: Buffer.from('users'), transactional: true },
    { prefix: 'cache', content: Buffer.from([0, 255]), transactional: true },
  ]);
});

test('messages with one key are handled in order, others at the same time', async () => {
  const watch = createTestWatch(watchers);
  const calls: (Deferred<void> & { readonly id: number })[] = [];
  watch.onMessage(
    placed,
    ({ value }) => {
      const call = { id: value.id, ...deferred() };
      calls.push(call);
      return call.promise;
    },
    { concurrency: 2 },
  );
  const sent = [1, 2, 3].map((id) => watch.deliverMessage(placed, { id }, { key: id === 3 ? 'b' : 'a' }));
  expect(calls.map(({ id }) => id)).toEqual([1, 3]);
  for (const call of calls) call.resolve();
  await Promise.all([sent[0], sent[2]]);
  expect(calls.map(({ id }) => id)).toEqual([1, 3, 2]);
  calls[2]!.resolve();
  await sent[1];
});

test('a failed message becomes a dead letter, which can be replayed', async () => {
  const watch = createTestWatch(watchers, { logger: false });
  const handled = recorder();
  let works = false;
  const onError = { attempts: 1, then: 'deadLetter' } as const;
  watch.onMessage(placed, (...call) => (works ? handled(...call) : Promise.reject(new Error('no'))), {
    name: 'mailer',
    onError,
  });
  await expect(watch.deliverMessage(placed, { id: 7 }, { key: '7' })).rejects.toThrow('no');
  const letters = [];
  for await (const letter of watch.deadLetters.list()) letters.push(letter);
  const message = { name: 'order.placed', key: '7', value: { id: 7 } };
  expect(letters).toMatchObject([{ watcher: 'message:order.placed', event: message, attempts: 1 }]);
  works = true;
  expect(await watch.deadLetters.replay()).toBe(1);
  expect(handled.all).toEqual([message]);
});

test('content that emit did not write fails like a throwing handler', async () => {
  const watch = createTestWatch(watchers, { logger: false });
  watch.onMessage(placed, () => {});
  await expect(watch.deliverMessage(placed.prefix, 'no JSON')).rejects.toMatchObject({ code: 'MESSAGE_INVALID' });
});
