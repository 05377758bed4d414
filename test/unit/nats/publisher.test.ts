/** Answers that arrive late, out of order or not at all. */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { expect, test, vi } from 'vitest';
import { Publisher } from '../../../src/nats/publisher.ts';
import { useFakeTime } from '../../support/fake-time.ts';

useFakeTime();

/** A connection that records published messages and answers when the test asks it to. */
function publishing() {
  let answer!: (error: null, message: Msg) => void;
  const sent: { subject: string; reply: string; after: string }[] = [];
  const connection = {
    info: {},
    isClosed: () => false,
    closed: () => new Promise(() => {}),
    status: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }),
    subscribe: (_: string, options: { callback: typeof answer }) => {
      answer = options.callback;
      return { unsubscribe: () => {} };
    },
    publish: (subject: string, _: unknown, { reply, headers }: { reply: string; headers: Map<string, string> }) =>
      void sent.push({ subject, reply, after: headers.get('Nats-Expected-Last-Msg-Id') ?? '' }),
  } as unknown as NatsConnection;
  const told: string[] = [];
  const publisher = new Publisher(connection, {
    stream: 'accounts',
    prepare: () => Promise.resolve(),
    failed: (error) => told.push(error.message),
    recovered: () => told.push('recovered'),
    lost: () => told.push('lost'),
  });
  const settled: string[] = [];
  const publish = (id: string) => {
    publisher.publish(`subject.${id}`, id, '{}').then(
      () => settled.push(id),
      () => settled.push(`not ${id}`),
    );
  };
  const reply = (index: number, error?: { description: string; err_code: number }) =>
    answer(null, { subject: sent[index]!.reply, headers: undefined, json: () => ({ error }) } as unknown as Msg);
  const pass = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);
  const ids = () => sent.map(({ subject, after }) => `${subject.slice(8)} after ${after || 'anything'}`);
  return { publisher, publish, reply, pass, sent, told, settled, ids };
}

test('messages are sent without waiting, each with the id of the one before it, and settle with their answers', async () => {
  const { publish, reply, pass, settled, ids } = publishing();
  for (const id of ['a', 'b', 'c']) publish(id);
  await pass();
  expect(ids()).toEqual(['a after anything', 'b after a', 'c after b']);
  reply(0);
  reply(1);
  await pass();
  expect(settled).toEqual(['a', 'b']);
});

test('a refused message and all after it are sent again, in order', async () => {
  const { publish, reply, pass, settled, told, ids, sent } = publishing();
  for (const id of ['a', 'b', 'c']) publish(id);
  await pass();
  reply(0);
  reply(1, { description: 'maximum bytes exceeded', err_code: 10_077 });
  reply(2, { description: 'wrong last msg ID: a', err_code: 10_070 });
  expect(told).toEqual(['JetStream: maximum bytes exceeded']);
  await pass(200); // the delay before the first retry
  expect(ids().slice(3)).toEqual(['b after anything', 'c after b']);
  for (let index = 3; index < sent.length; index++) reply(index);
  await pass();
  expect(settled).toEqual(['a', 'b', 'c']);
  expect(told.at(-1)).toBe('recovered');
});

test('a message that is answered after the timeout settles, and later messages are still sent', async () => {
  const { publish, reply, pass, settled, told, ids } = publishing();
  publish('a');
  await pass();
  await pass(5000);
  expect(told).toEqual([expect.stringContaining('has not answered')]);
  reply(0);
  await pass();
  expect(settled).toEqual(['a']);
  publish('b');
  await pass(10_000);
  expect(ids().at(-1)).toBe('b after anything');
});

test('another message at the end of the stream costs one more run without a delay', async () => {
  const { publish, reply, pass, told, ids } = publishing();
  for (const id of ['a', 'b']) publish(id);
  await pass();
  reply(0);
  reply(1, { description: 'wrong last msg ID: x', err_code: 10_070 });
  await pass();
  expect(ids().slice(2)).toEqual(['b after anything']);
  expect(told).toEqual([]);
});

test('after finish() it accepts no new messages and gives up failed ones', async () => {
  const { publisher, publish, reply, pass, settled } = publishing();
  for (const id of ['a', 'b']) publish(id);
  await pass();
  publisher.finish(new Error('over'));
  publish('c');
  reply(0);
  reply(1, { description: 'no', err_code: 1 });
  await pass();
  expect(settled).toEqual(['not c', 'a', 'not b']);
});
