/** A group of processes with a shared durable consumer. Here they are connections of one process; test/faults kills real processes. */
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { relay, type RemoteWatchOptions } from '../../src/nats/index.ts';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { deleteLater, remoteOf } from '../support/relaying.ts';
import { deferred, until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const nats = useNats();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ jobs: { id: number; record: number } }>()([
  ['jobs', 'inserted', { extraColumns: ['record'] }],
]);

/** Makes a worker with its own table, and functions that create members of the group. */
async function group() {
  await db.sql('drop table if exists jobs');
  await db.sql('create table jobs (id int generated always as identity primary key, record int)');
  const stream = slotName();
  const worker = watchOf(watchers, { slot: stream });
  const connection = await nats.connect();
  deleteLater(connection, stream);
  relay(worker, { connection, stream });
  await worker.start();
  const member = async (options: Partial<RemoteWatchOptions> = {}, warnings: WatchError[] = []) =>
    remoteOf({ connection: await nats.connect(), stream, durable: 'mailer', ...options, watchers }, warnings);
  const manager = await jetstreamManager(connection);
  /** The number of messages that the group has not acknowledged. */
  const open = async () => {
    const { num_pending: waiting, num_ack_pending: begun } = await manager.consumers.info(stream, 'mailer');
    return waiting + begun;
  };
  const allDone = async () => {
    await settled(db, worker); // all events are in the stream
    await until(async () => (await open()) === 0, { describe: 'all to be acknowledged' });
  };
  const write = (count: number) =>
    db.sql('insert into jobs (record) select n % 10 from generate_series(1, $1::int) n', [count]);
  return { stream, worker, connection, manager, member, open, allDone, write };
}

test('each event is handled by one process of the group, and all processes get events', async () => {
  const { member, allDone, write } = await group();
  const handled: { by: number; id: number }[] = [];
  for (const by of [1, 2]) {
    const watch = await member();
    watch.subscribe('jobs:inserted', async ({ id }) => {
      await new Promise(setImmediate);
      handled.push({ by, id });
    });
    await watch.start();
  }
  await write(2000);
  await until(() => handled.length >= 2000, {
    describe: () => `2000 events; so far ${handled.length}`,
  });
  await allDone();
  expect(new Set(handled.map(({ id }) => id)).size).toBe(2000);
  expect(handled).toHaveLength(2000);
  expect(new Set(handled.map(({ by }) => by)).size).toBe(2);
});

test('events from the time when no process of the group ran wait for it', async () => {
  const { member, allDone, write } = await group();
  const first = await member();
  await first.start();
  await first.stop();
  await write(3);
  const heard: number[] = [];
  const second = await member();
  second.subscribe('jobs:inserted', ({ id }) => void heard.push(id));
  await second.start();
  await allDone();
  expect(heard).toEqual([1, 2, 3]);
});

test('an event is acknowledged after its handler; a stopping process finishes running handlers and gives the rest to the others', async () => {
  const { member, open, allDone, write, worker } = await group();
  const handled: string[] = [];
  const begun = deferred();
  const finish = deferred();
  const first = await member();
  first.subscribe('jobs:inserted', async ({ id }) => {
    begun.resolve();
    await finish.promise;
    handled.push(`first ${id}`);
  });
  await first.start();
  await write(5);
  await begun.promise;
  await settled(db, worker);
  expect(await open()).toBe(5);

  const stopping = first.stop();
  finish.resolve();
  await stopping;
  const second = await member();
  second.subscribe('jobs:inserted', ({ id }) => void handled.push(`second ${id}`));
  await second.start();
  await allDone();
  expect(handled).toEqual(['first 1', 'second 2', 'second 3', 'second 4', 'second 5']);
});

test('in one process events of a record never overlap or overtake each other, and do not delay other records', async () => {
  const { member, allDone, write } = await group();
  const watch = await member();
  const running = new Map<number, number>();
  const order = new Map<number, number[]>();
  let most = 0;
  watch.subscribe(
    'jobs:inserted',
    async ({ id, record }) => {
      running.set(id, record);
      most = Math.max(most, running.size);
      await new Promise(setImmediate);
      running.delete(id);
      order.set(record, [...(order.get(record) ?? []), id]);
    },
    { concurrency: 4 },
  );
  await watch.start();
  await write(200);
  await allDone();
  expect(most).toBe(4);
  for (const ids of order.values()) expect(ids).toEqual(ids.toSorted((one, other) => one - other));
});

test('a handler that fails is called again, until it succeeds', async () => {
  const { member, allDone, write } = await group();
  const attempts: number[] = [];
  const watch = await member();
  watch.subscribe('jobs:inserted', (_, { attempt }) => {
    attempts.push(attempt);
    if (attempt < 3) throw new Error('not yet');
  });
  await watch.start();
  await write(1);
  await allDone();
  expect(attempts).toEqual([1, 2, 3]);
});

test('a failed event becomes a dead letter in a separate stream, and the group continues', async () => {
  const { member, allDone, write, stream, connection } = await group();
  const handled: number[] = [];
  const watch = await member({ onError: { attempts: 2, then: 'deadLetter' } });
  watch.subscribe(
    'jobs:inserted',
    ({ id }) => {
      if (id === 2) throw new Error('never');
      handled.push(id);
    },
    { name: 'send mail' },
  );
  await watch.start();
  await write(3);
  await allDone();
  expect(handled).toEqual([1, 3]);
  const letters = await jetstream(connection).consumers.get(`${stream}_dead_letters`);
  const letter = await letters.next({ expires: 5000 });
  expect(letter!.subject).toBe(`walwatch_dead_letters.${stream}.mailer.send=20mail`);
  expect(letter!.json()).toMatchObject({
    slot: stream, group: 'mailer', subscription: 'send mail', watcher: 'jobs:inserted', event: { id: '2', record: '2' },
    attempts: 2, error: expect.stringContaining('never') as string, context: { change: { type: 'inserted', table: 'jobs', ordinal: 1 } },
  }); // prettier-ignore
});

test('a dead letter that cannot be written causes a warning, and its event is kept', async () => {
  const { member, open, allDone, write, stream, manager } = await group();
  const name = `${stream}_dead_letters`;
  // A foreign stream with that name.
  await manager.streams.add({ name, subjects: [`${name}.something_else`] });
  const warnings: WatchError[] = [];
  const watch = await member({ onError: { attempts: 1, then: 'deadLetter' } }, warnings);
  watch.subscribe('jobs:inserted', () => {
    throw new Error('never');
  });
  await watch.start();
  await write(1);
  await until(() => warnings.length > 0, { describe: 'a warning' });
  expect(warnings[0]).toMatchObject({ code: 'DEAD_LETTER' });
  expect(await open()).toBe(1);
  await manager.streams.delete(name);
  await allDone();
  expect((await manager.streams.info(name)).state.messages).toBe(1);
});

test("with then: 'stop' the watch ends, and the next process receives the event", async () => {
  const { member, allDone, write } = await group();
  const first = await member({ onError: { attempts: 1, then: 'stop' } });
  first.subscribe('jobs:inserted', () => {
    throw new Error('broken');
  });
  await first.start();
  await write(2);
  await expect(first.closed).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
  const heard: number[] = [];
  const second = await member();
  second.subscribe('jobs:inserted', ({ id }) => void heard.push(id));
  await second.start();
  await allDone();
  expect(heard).toEqual([1, 2]);
});

test('a group with an added watcher receives its events, too', async () => {
  const { member, open, worker, stream } = await group();
  const first = await member();
  await first.start();
  await first.stop();
  const more = defineWatchers<{ jobs: { id: number } }>()([['jobs', 'inserted'], ['jobs', 'deleted']]); // prettier-ignore
  await worker.stop();
  const next = watchOf(more, { slot: stream });
  relay(next, { connection: await nats.connect(), stream });
  await next.start();
  const second = remoteOf({ connection: await nats.connect(), stream, watchers: more, durable: 'mailer' });
  const heard: string[] = [];
  second.subscribe('jobs:inserted', ({ id }) => void heard.push(`+${id}`));
  second.subscribe('jobs:deleted', ({ id }) => void heard.push(`-${id}`));
  await second.start();
  await db.sql('insert into jobs (record) values (1)');
  await db.sql('delete from jobs');
  await settled(db, next);
  await until(async () => (await open()) === 0, { describe: 'all to be acknowledged' });
  expect(heard).toEqual(['+1', '-1']);
});

test('a consumer created by hand is used as it is: with one unacknowledged event at a time, a group keeps strict order', async () => {
  const { member, allDone, write, stream, manager } = await group();
  await until(() => manager.streams.info(stream).catch(() => false), { describe: 'the stream' });
  const made = {
    durable_name: 'mailer',
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 1,
    filter_subject: 'walwatch.>',
  };
  await manager.consumers.add(stream, made);
  const order: string[] = [];
  for (let by = 1; by <= 2; by++) {
    const watch = await member();
    watch.subscribe('jobs:inserted', async ({ id }) => {
      order.push(`begin ${id}`);
      await new Promise(setImmediate);
      order.push(`end ${id}`);
    });
    await watch.start();
  }
  await write(50);
  await allDone();
  expect(order).toEqual(Array.from({ length: 50 }, (_, index) => [`begin ${index + 1}`, `end ${index + 1}`]).flat());
  expect((await manager.consumers.info(stream, 'mailer')).config).toMatchObject({ max_ack_pending: 1 });
});

test('a consumer of another kind is refused', async () => {
  const { member, stream, manager } = await group();
  await until(() => manager.streams.info(stream).catch(() => false), { describe: 'the stream' });
  await manager.consumers.add(stream, { durable_name: 'mailer', ack_policy: AckPolicy.None });
  const watch = await member();
  await expect(watch.start()).rejects.toThrow(/is not a pull consumer with explicit acknowledgement/);
});
