/** Worker or broker are killed, frozen, full or not there: the slot waits, nothing is lost, and nothing comes twice. */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { streamConfig } from '../../src/nats/stream.ts';
import { compareLsn } from '../../src/postgres/lsn.ts';
import { useDatabase } from '../support/database.ts';
import { type Broker, connectTo, startBroker } from '../support/broker.ts';
import { startProgram } from '../support/program.ts';
import { type Arrival, exactlyOnceInOrder, remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

let broker: Broker;
/** Of those who listen. The relay has one of its own. */
let connection: NatsConnection;
let relaying: NatsConnection;

beforeAll(async () => {
  broker = await startBroker();
  connection = await connectTo(broker.url);
  relaying = await connectTo(broker.url);
});
afterAll(async () => {
  await connection.close();
  await relaying.close();
  await broker[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await db.sql('drop table if exists entries');
  await db.sql('create table entries (id int generated always as identity primary key)');
});

/** So many rows in transactions of a thousand. */
async function write(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1000)
    await db.sql('insert into entries select from generate_series(1, $1::int)', [Math.min(left, 1000)]);
}

async function listen(stream: string, warnings: WatchError[] = [], over = connection): Promise<Arrival[]> {
  const arrivals: Arrival[] = [];
  const remote = remoteOf({ connection: over, stream, watchers }, warnings);
  remote.subscribe('entries:inserted', ({ id }, { eventId }) => void arrivals.push({ id, eventId }));
  await remote.start();
  return arrivals;
}

/** A worker in this process, whose relay may use the connection up. */
function worker(options: { slot?: string; manage?: 'verify' } = {}): {
  watch: SlotWatch;
  stream: string;
  warnings: WatchError[];
} {
  const slot = options.slot ?? slotName();
  const watch = watchOf(watchers, { ...options, slot, stopTimeout: 100 });
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  relay(watch, { connection: relaying, stream: slot });
  return { watch, stream: slot, warnings };
}

const arrived = (arrivals: readonly Arrival[], count: number) =>
  until(() => arrivals.length >= count, {
    describe: () => `${count} events; so far ${arrivals.length}`,
    timeout: 60_000,
  });

/** Resolves when the slot is held back by the relay, with what stands in its way. */
async function held(watch: SlotWatch): Promise<string> {
  const { error } = await until(
    () => {
      const { heldBy } = watch.status();
      return heldBy?.error === undefined ? undefined : heldBy;
    },
    { describe: 'the slot to be held back by an error', timeout: 20_000 },
  );
  return (error as Error).message;
}

test(
  '100,000 changes arrive exactly once and in order, although the worker is killed again and again',
  { timeout: 120_000 },
  async () => {
    const slot = slotName();
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const startWorker = () => startProgram('relayer', [db.url, slot, broker.url]);
    let running = startWorker();
    const arrivals = await listen(slot);
    const count = 100_000;
    const writing = write(count);
    for (const part of [0.1, 0.35, 0.6]) {
      const many = count * part + Math.floor(Math.random() * 5000);
      await arrived(arrivals, many);
      await running.end('SIGKILL');
      running = startWorker();
    }
    await writing;
    await arrived(arrivals, count);
    await running.end('SIGTERM');
    exactlyOnceInOrder(arrivals, count);
  },
);

test(
  'a broker that is killed under load and comes back has got everything, exactly once and in order',
  { timeout: 60_000 },
  async () => {
    await using mortal = await startBroker();
    const listening = await connectTo(mortal.url);
    const publishing = await connectTo(mortal.url);
    onTestFinished(async () => {
      await listening.close();
      await publishing.close();
    });
    const slot = slotName();
    const watch = watchOf(watchers, { slot, stopTimeout: 100 });
    relay(watch, { connection: publishing, stream: slot });
    await watch.start();
    const arrivals = await listen(slot, [], listening);
    let written = 0;
    for (let round = 0; round < 3; round++) {
      const writing = write(6000);
      await arrived(arrivals, written + 500 + Math.floor(Math.random() * 3000));
      await mortal.kill('SIGKILL');
      await writing;
      await write(100); // however fast it was, something is left to be held
      expect(await held(watch)).toMatch(/connection to NATS is lost/);
      await mortal.start();
      written += 6100;
    }
    await arrived(arrivals, written);
    await settled(db, watch);
    exactlyOnceInOrder(arrivals, written);
  },
);

test('a broker that answers no more holds the slot back, which status and a warning say; once it answers nothing was lost', async () => {
  const { watch, stream, warnings } = worker();
  await watch.start();
  const arrivals = await listen(stream);
  broker.signal('SIGSTOP');
  onTestFinished(() => broker.signal('SIGCONT'));
  await write(3000);
  expect(await held(watch)).toMatch(/has not answered|is lost/);
  const { state, heldBy, confirmedLsn } = watch.status();
  expect({ state, by: heldBy?.subscription }).toEqual({ state: 'streaming', by: `relay:${stream}` });
  const [file, offset] = heldBy!.eventId!.split('/');
  expect(compareLsn(confirmedLsn!, `${file}/${offset}`)).toBeLessThanOrEqual(0);
  expect(warnings.map(({ code, message }) => ({ code, message }))).toContainEqual({
    code: 'CONNECTION',
    message: expect.stringContaining('events are held back, and the slot with them') as string,
  });
  broker.signal('SIGCONT');
  await arrived(arrivals, 3000);
  await settled(db, watch);
  exactlyOnceInOrder(arrivals, 3000);
});

test('without the stream the slot is held back; nobody makes another in its place, until an operator does', async () => {
  const { watch, stream } = worker();
  await watch.start();
  const warnings: WatchError[] = [];
  const arrivals = await listen(stream, warnings);
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(stream);
  await write(10);
  expect(await held(watch)).toMatch(/stream not found|no stream/);
  await expect(manager.streams.info(stream)).rejects.toThrow('stream not found');
  await manager.streams.add(streamConfig(stream, stream, 1));
  await settled(db, watch);
  expect((await manager.streams.info(stream)).state.messages).toBe(10);
  // Who listened finds the new one, and is told that it is another.
  await arrived(arrivals, 10);
  exactlyOnceInOrder(arrivals, 10);
  expect(warnings.map(({ message }) => message)).toContain(
    `events may have been missed: the stream '${stream}' was deleted and made anew`,
  );
});

test("with manage: 'verify' the stream is not made either", async () => {
  const slot = slotName();
  const { watch: first } = worker({ slot });
  await first.start();
  await until(async () => (await jetstreamManager(connection)).streams.info(slot).catch(() => false), {
    describe: 'the stream',
  });
  await first.stop();
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(slot);
  const { watch } = worker({ slot, manage: 'verify' });
  await watch.start();
  await write(1);
  expect(await held(watch)).toMatch(/stream not found/);
  await manager.streams.add(streamConfig(slot, slot, 1));
  await settled(db, watch);
});

test('a full stream holds the slot back, in order: once there is room, what was refused comes first', async () => {
  const slot = slotName();
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ ...streamConfig(slot, slot, 1), max_msgs: 500 });
  const { watch, warnings } = worker({ slot });
  await watch.start();
  const arrivals = await listen(slot);
  await write(1200);
  expect(await held(watch)).toMatch(/maximum messages exceeded/);
  expect(warnings.at(-1)?.message).toMatch(/maximum messages exceeded/);
  await arrived(arrivals, 500);
  expect(arrivals).toHaveLength(500);
  await manager.streams.purge(slot);
  await arrived(arrivals, 1000);
  await manager.streams.purge(slot);
  await arrived(arrivals, 1200);
  await settled(db, watch);
  exactlyOnceInOrder(arrivals, 1200);
});

test('a stream that would lose events is refused, with what to do, and the slot waits for another', async () => {
  const slot = slotName();
  const manager = await jetstreamManager(connection);
  const unfit = { ...streamConfig(slot, slot, 1), no_ack: true };
  await manager.streams.add(unfit);
  const { watch, warnings } = worker({ slot });
  await watch.start();
  await write(1);
  expect(await held(watch)).toMatch(/acknowledges nothing/);
  expect(warnings.at(-1)).toMatchObject({
    code: 'CONFIGURATION',
    solution: expect.stringContaining('nats stream edit') as string,
  });
  await manager.streams.update(slot, { no_ack: false });
  await settled(db, watch);
});

test('what the stream refuses holds up all behind it, though they are on their way already: nothing overtakes', async () => {
  await db.sql('alter table entries add note text');
  const slot = slotName();
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ ...streamConfig(slot, slot, 1), max_msg_size: 2000 });
  const noted = defineWatchers([['entries', 'inserted', { extraColumns: ['note'] }]]);
  const watch = watchOf(noted, { slot, stopTimeout: 100 });
  relay(watch, { connection: relaying, stream: slot });
  await watch.start();
  await db.sql(`insert into entries (note) values ('small'), (repeat('x', 3000)), ('small'), ('small')`);
  expect(await held(watch)).toMatch(/message size exceeds maximum/);
  expect((await manager.streams.info(slot)).state.messages).toBe(1);
  await manager.streams.update(slot, { max_msg_size: -1 });
  await settled(db, watch);
  const stored = [1, 2, 3, 4].map((seq) => manager.streams.getMessage(slot, { seq }));
  const ids = (await Promise.all(stored)).map((message) => message!.subject.split('.').at(-1));
  expect(ids).toEqual(['1', '2', '3', '4']);
});

test('an event that is larger than the broker takes is held, not lost, and those behind it wait in order', async () => {
  await db.sql('alter table entries add note text');
  await using small = await startBroker({ config: 'max_payload: 4096' });
  const mine = await connectTo(small.url);
  onTestFinished(() => mine.close());
  const slot = slotName();
  const noted = defineWatchers([['entries', 'inserted', { extraColumns: ['note'] }]]);
  const watch = watchOf(noted, { slot, stopTimeout: 100 });
  relay(watch, { connection: mine, stream: slot });
  await watch.start();
  await db.sql(`insert into entries (note) values ('small'), (repeat('x', 5000)), ('small')`);
  expect(await held(watch)).toMatch(/max_payload/);
  expect((await (await jetstreamManager(mine)).streams.info(slot)).state.messages).toBe(1);
  await watch.stop();
});

test('a connection that is closed for good ends the watch, so that it is started again', async () => {
  const mine = await connectTo(broker.url);
  const slot = slotName();
  const watch = watchOf(watchers, { slot, stopTimeout: 100 });
  relay(watch, { connection: mine, stream: slot });
  await watch.start();
  await mine.close();
  await write(600);
  await expect(watch.closed).rejects.toMatchObject({
    code: 'HANDLER_FAILED',
    message: expect.stringContaining('the connection to NATS was closed') as string,
  });
});

test('a relay that was ended publishes nothing more, and does not hold the slot', async () => {
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  const relayed = relay(watch, { connection: relaying, stream: slot });
  await watch.start();
  await write(5);
  await settled(db, watch);
  relayed.unsubscribe();
  await write(5);
  await settled(db, watch);
  expect(watch.status().subscriptions).toBe(0);
  expect((await (await jetstreamManager(connection)).streams.info(slot)).state.messages).toBe(5);
});
