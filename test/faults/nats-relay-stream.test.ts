/** The stream is missing, full, misconfigured, or refuses a message: the slot waits, and nothing is lost. */
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { streamConfig } from '../../src/nats/stream.ts';
import { connectTo, startBroker } from '../support/broker.ts';
import { useDatabase } from '../support/database.ts';
import { useRelay } from '../support/relay-faults.ts';
import { exactlyOnceInOrder } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const shared = useRelay(db);
const { write, listen, worker, arrived, held } = shared;

test('if the stream is deleted, the slot waits until an operator creates a new one; walwatch does not', async () => {
  const { watch, stream } = worker();
  await watch.start();
  const warnings: WatchError[] = [];
  const arrivals = await listen(stream, warnings);
  const manager = await jetstreamManager(shared.connection);
  await manager.streams.delete(stream);
  await write(10);
  expect(await held(watch)).toMatch(/stream not found|no stream/);
  await expect(manager.streams.info(stream)).rejects.toThrow('stream not found');
  await manager.streams.add(streamConfig(stream, stream, 1));
  await settled(db, watch);
  expect((await manager.streams.info(stream)).state.messages).toBe(10);
  // The remote watch finds the new stream and reports that it is another one.
  await arrived(arrivals, 10);
  exactlyOnceInOrder(arrivals, 10);
  expect(warnings.map(({ message }) => message)).toContain(
    `events may have been missed: the stream '${stream}' was deleted and re-created`,
  );
});

test("with manage: 'verify' the stream is not created", async () => {
  const slot = slotName();
  const { watch: first } = worker({ slot });
  await first.start();
  await until(async () => (await jetstreamManager(shared.connection)).streams.info(slot).catch(() => false), {
    describe: 'the stream',
  });
  await first.stop();
  const manager = await jetstreamManager(shared.connection);
  await manager.streams.delete(slot);
  const { watch } = worker({ slot, manage: 'verify' });
  await watch.start();
  await write(1);
  expect(await held(watch)).toMatch(/stream not found/);
  await manager.streams.add(streamConfig(slot, slot, 1));
  await settled(db, watch);
});

test('a full stream holds the slot back; once there is room, the refused events are stored first, in order', async () => {
  const slot = slotName();
  const manager = await jetstreamManager(shared.connection);
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

test('a stream that would lose events is refused with a solution, and the slot waits until it is fixed', async () => {
  const slot = slotName();
  const manager = await jetstreamManager(shared.connection);
  const unfit = { ...streamConfig(slot, slot, 1), no_ack: true };
  await manager.streams.add(unfit);
  const { watch, warnings } = worker({ slot });
  await watch.start();
  await write(1);
  expect(await held(watch)).toMatch(/does not acknowledge messages/);
  expect(warnings.at(-1)).toMatchObject({
    code: 'CONFIGURATION',
    solution: expect.stringContaining('nats stream edit') as string,
  });
  await manager.streams.update(slot, { no_ack: false });
  await settled(db, watch);
});

test('events after a refused event wait for it, even if they were already sent', async () => {
  await db.sql('alter table entries add note text');
  const slot = slotName();
  const manager = await jetstreamManager(shared.connection);
  await manager.streams.add({ ...streamConfig(slot, slot, 1), max_msg_size: 2000 });
  const noted = defineWatchers([['entries', 'inserted', { extraColumns: ['note'] }]]);
  const watch = watchOf(noted, { slot, stopTimeout: 100 });
  relay(watch, { connection: shared.relaying, stream: slot });
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

test('an event above max_payload is not lost; it holds the slot back, and later events wait', async () => {
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
