/** Messages of an outbox: typed values, ordered by key, and kept when they cannot be handled. */
import { tracingChannel } from 'node:diagnostics_channel';
import type { Client } from 'pg';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  type DeadLetter,
  defineWatchers,
  type HandlerTrace,
  type OutboxMessage,
  type SlotWatch,
} from '../../src/index.ts';
import { createOutbox } from '../../src/outbox/index.ts';
import { useDatabase } from '../support/database.ts';
import { descriptor, emitted } from '../support/messaging.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ orders: { id: number } }>()([['orders', 'inserted']]);
const placed = descriptor<{ id: number }>('order.placed');
const onError = { attempts: 1, then: 'deadLetter' } as const;
const down = () => Promise.reject(new Error('down'));
let client: Client;

beforeAll(async () => {
  await db.sql('create table orders (id int primary key); create table sent (id int, text text)');
  client = await db.client();
});
beforeEach(async () => {
  await db.sql('drop schema if exists walwatch cascade');
  await db.sql('truncate orders, sent');
});

const write = (prefix: string, content: string | Buffer) =>
  client.query('select pg_logical_emit_message(true, $1, $2::bytea)', [prefix, Buffer.from(content)]);
const emit = (value: unknown, key?: string) => write(placed.prefix, emitted(value, key));
const annotate = (annotations: object) => write('walwatch:annotations', JSON.stringify(annotations));

async function transaction(work: () => Promise<unknown>, end: 'commit' | 'rollback' = 'commit'): Promise<void> {
  await client.query('begin');
  await work();
  await client.query(end);
}

async function lettersOf(watch: SlotWatch<any>): Promise<DeadLetter[]> {
  const all: DeadLetter[] = [];
  for await (const letter of watch.deadLetters.list()) all.push(letter);
  return all;
}

test('what an outbox emits arrives after its commit, in order with the changes, with its value, key and annotations', async () => {
  const outbox = createOutbox<{ 'order.placed': { id: number; text?: string } }>();
  const message = outbox.message('order.placed');
  const watch = watchOf(watchers);
  const heard: unknown[] = [];
  watch.subscribe('orders:inserted', ({ id }) => void heard.push(id));
  watch.onMessage(message, ({ name, value, key }, { eventId, commitLsn, annotations }) => {
    expect(eventId).toMatch(new RegExp(`^${commitLsn}/m\\d$`));
    heard.push([name, value, key, annotations]);
  });
  watch.onMessage(message.prefix, ({ content }) => void heard.push(content.toString()));
  await watch.start();
  await transaction(async () => {
    await outbox.annotate(client, { actor: 'user:7' });
    await client.query('insert into orders values (1)');
    await outbox.emit(client, 'order.placed', { id: 1, text: 'ü\0 € ' }, { key: 'k' });
    await client.query('savepoint s');
    await outbox.emit(client, 'order.placed', { id: 2 });
    await client.query('rollback to s; insert into orders values (3)');
  });
  await transaction(() => outbox.emit(client, 'order.placed', { id: 4 }), 'rollback');
  await transaction(() => outbox.emit(client, 'order.placed', { id: 5 }));
  await settled(db, watch);
  expect(heard).toEqual([
    1, ['order.placed', { id: 1, text: 'ü\0 € ' }, 'k', { actor: 'user:7' }], emitted({ id: 1, text: 'ü\0 € ' }, 'k'),
    3, ['order.placed', { id: 5 }, undefined, {}], emitted({ id: 5 }),
  ]); // prettier-ignore
});

test('with concurrency and a restart in the middle, each key gets all its messages in commit order', async () => {
  const slot = slotName();
  const keys = ['a', 'b', 'c', undefined];
  const got = new Map<string | undefined, number[]>();
  const handle = (batched: boolean) => (given: unknown) => {
    const messages = (batched ? given : [given]) as { value: { id: number }; key: string | undefined }[];
    for (const { value, key } of messages) got.set(key, [...(got.get(key) ?? []), value.id]);
    if (messages.some(({ value }) => value.id % 7 === 3)) return new Promise((resolve) => setImmediate(resolve));
    return undefined;
  };
  const expected = new Map<string | undefined, number[]>();
  const send = async (from: number, count: number) => {
    for (let id = from; id < from + count; id++) {
      const key = keys[(id * 7919) % keys.length];
      expected.set(key, [...(expected.get(key) ?? []), id]);
      await emit({ id }, key);
    }
  };
  const first = watchOf(watchers, { slot });
  first.onMessage(placed, handle(false), { concurrency: 16 });
  await first.start();
  await send(0, 150);
  await settled(db, first);
  await first.stop();
  await send(150, 150);
  const second = watchOf(watchers, { slot });
  second.onMessage(placed, handle(true), { concurrency: 3, batch: { size: 20, wait: 5 } });
  await second.start();
  await send(300, 50);
  await settled(db, second);
  expect(got).toEqual(expected);
});

test('with transaction: true a message takes effect once, one by one and in batches', async () => {
  const slot = slotName();
  const run = async (batch?: { size: number }) => {
    const watch = watchOf(watchers, { slot, stopTimeout: 10 });
    watch.onMessage(placed, async (given, { client: session }) => {
      for (const { value } of [given].flat() as { value: { id: number } }[])
        await session.query('insert into sent values ($1)', [value.id]);
    }, { name: 'sender', transaction: true, ...(batch && { batch }) } as { name: string; transaction: true }); // prettier-ignore
    // Holds the slot, so that every message is delivered again after the restart.
    watch.onMessage(placed, () => new Promise(() => {}), { name: 'stuck' });
    await watch.start();
    return watch;
  };
  const sent = async () => (await db.sql('select id from sent order by id')).map(({ id }) => id);
  const first = await run();
  await emit({ id: 1 });
  await emit({ id: 2 });
  await until(async () => (await sent()).length === 2, { describe: 'both messages' });
  await first.stop();
  const second = await run({ size: 10 });
  await emit({ id: 3 });
  await until(async () => (await sent()).includes(3), { describe: 'the third message' });
  await second.stop();
  expect(await sent()).toEqual([1, 2, 3]);
});

test('timeout, signal, heldBy and tracing work as for events', async () => {
  const watch = watchOf(watchers);
  const traces = recorder(({ watcher, subscription, event, context }: HandlerTrace) => [
    watcher, subscription, event, context.annotations,
  ]); // prettier-ignore
  const channel = tracingChannel<HandlerTrace>('walwatch:handler');
  channel.start.subscribe(traces as (trace: unknown) => void);
  onTestFinished(() => channel.start.unsubscribe(traces as (trace: unknown) => void));
  const aborted = recorder<[], unknown>(() => watch.status().heldBy);
  watch.onMessage(placed, (_, { signal }) => new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      aborted();
      reject(signal.reason as Error);
    });
  }), { timeout: 50, onError: { attempts: 1, then: 'skip' } }); // prettier-ignore
  const failures = recorder(({ subscription, error }) => [subscription, error.code]);
  watch.on('handlerFailed', failures);
  await watch.start();
  await emit({ id: 1 }, 'k');
  await settled(db, watch);
  expect(traces.all).toEqual([
    ['message:order.placed', 'message:order.placed', { name: 'order.placed', value: { id: 1 }, key: 'k' }, {}],
  ]);
  expect(aborted.all).toMatchObject([{ subscription: 'message:order.placed', attempt: 1 }]);
  expect(failures.all).toEqual([['message:order.placed', 'HANDLER_TIMEOUT']]);
});

describe('a message that cannot be handled', () => {
  test.each([false, true])('becomes a readable dead letter, and comes back in the same shape (batch: %s)', async (batched) => {
    const watch = watchOf(watchers);
    const options = { name: 'publisher', onError, ...(batched && { batch: { size: 5 } }) } as { name: string };
    let handler: (given: unknown, context: any) => unknown = down;
    watch.onMessage(placed, (given, context) => handler(given, context), options);
    await watch.start();
    await transaction(async () => {
      await annotate({ actor: 'user:7' });
      await emit({ id: 1 }, 'k');
      await emit({ id: 2 });
    });
    await settled(db, watch);
    const message = (id: number, key?: string) => ({ name: 'order.placed', value: { id }, key });
    expect(await lettersOf(watch)).toMatchObject([
      { subscription: 'publisher', watcher: 'message:order.placed', event: message(1, 'k'), attempts: 1 },
      { event: message(2), eventId: expect.stringMatching(/\/m2$/) },
    ]);
    const replayed: unknown[] = [];
    handler = (given, context) => {
      const { annotations, eventId } = batched ? context.contexts[0] : context;
      replayed.push([given, annotations, eventId.split('/').at(-1), context.attempt, context.signal.aborted]);
    };
    expect(await watch.deadLetters.replay({ watcher: 'message:order.placed' })).toBe(2);
    const given = [message(1, 'k'), message(2)].map((one) => (batched ? [one] : one));
    expect(replayed).toEqual([
      [given[0], { actor: 'user:7' }, 'm1', 2, false],
      [given[1], { actor: 'user:7' }, 'm2', 2, false],
    ]);
    expect(await lettersOf(watch)).toEqual([]);
  }); // prettier-ignore

  test('because emit() did not write it, is kept as its bytes, does not fail others, and its replay fails again', async () => {
    const watch = watchOf(watchers);
    const handled = recorder((messages: readonly { value: unknown }[]) => messages.map(({ value }) => value));
    watch.onMessage(placed, handled, { name: 'publisher', batch: { size: 10, wait: 50 }, onError });
    const failures = recorder(({ error, eventId }) => [error.code, eventId.split('/').at(-1)]);
    watch.on('handlerFailed', failures);
    await watch.start();
    await transaction(async () => {
      await emit(1, 'k');
      await write(placed.prefix, Buffer.of(0xff, 0));
      await emit(2, 'k');
    });
    await settled(db, watch);
    expect(handled.all).toEqual([[1], [2]]);
    expect(failures.all).toEqual([['MESSAGE_INVALID', 'm1']]);
    const letter = {
      watcher: 'message:order.placed',
      event: { prefix: placed.prefix, content: Buffer.of(0xff, 0), transactional: true },
      error: expect.stringContaining('its content is not JSON in UTF-8'),
    };
    expect(await lettersOf(watch)).toMatchObject([{ ...letter, attempts: 1 }]);
    expect(await watch.deadLetters.replay()).toBe(0);
    expect(await lettersOf(watch)).toMatchObject([{ ...letter, attempts: 2 }]);
    expect(handled.all).toHaveLength(2);
  });

  test('whose letter was written before a crash is not given to its handler again', async () => {
    const slot = slotName();
    const run = async (handler: (message: OutboxMessage<string, { id: number }>) => unknown) => {
      const watch = watchOf(watchers, { slot, stopTimeout: 10 });
      watch.onMessage(placed, handler, { name: 'publisher', onError });
      watch.onMessage(placed, () => new Promise(() => {}), { name: 'stuck' });
      await watch.start();
      return watch;
    };
    const first = await run(down);
    await emit({ id: 1 });
    await until(async () => (await lettersOf(first)).length === 1, { describe: 'the letter' });
    await first.stop();
    const again = recorder(({ value }: OutboxMessage<string, { id: number }>) => value.id);
    await run(again);
    await emit({ id: 2 });
    await until(() => again.all.length > 0, { describe: 'the second message' });
    expect(again.all).toEqual([2]);
  });

  test('comes back as the subscription reads messages now: one that has changed to the outbox message', async () => {
    const slot = slotName();
    const before = watchOf(watchers, { slot });
    before.onMessage(placed.prefix, down, { name: 'publisher', onError });
    await before.start();
    await emit({ id: 1 }, 'k');
    await settled(db, before);
    expect(await lettersOf(before)).toMatchObject([{ watcher: `message:${placed.prefix}`, event: { transactional: true } }]);
    await before.stop();
    const after = watchOf(watchers, { slot });
    const replayed = recorder();
    after.onMessage(placed, replayed, { name: 'publisher', onError });
    expect(await after.deadLetters.replay()).toBe(1);
    expect(replayed.all).toEqual([{ name: 'order.placed', value: { id: 1 }, key: 'k' }]);
  }); // prettier-ignore
});
