/** Worker or broker are killed or frozen, or the connection is closed: nothing is lost, and nothing is stored twice. */
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test } from 'vitest';
import { relay } from '../../src/nats/index.ts';
import { compareLsn } from '../../src/postgres/lsn.ts';
import { connectTo, startBroker } from '../support/broker.ts';
import { useDatabase } from '../support/database.ts';
import { startProgram } from '../support/program.ts';
import { useRelay, watchers } from '../support/relay-faults.ts';
import { exactlyOnceInOrder } from '../support/relaying.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const shared = useRelay(db);
const { write, listen, worker, arrived, held } = shared;

test(
  '100,000 changes arrive exactly once and in order while the worker is killed repeatedly',
  { timeout: 120_000 },
  async () => {
    const slot = slotName();
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const startWorker = () => startProgram('relayer', [db.url, slot, shared.broker.url]);
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

test('a broker that is killed under load and restarted stores everything exactly once and in order', async () => {
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
    await write(100); // so that some events are unpublished, however fast the relay was
    expect(await held(watch)).toMatch(/connection to NATS is lost/);
    await mortal.start();
    written += 6100;
  }
  await arrived(arrivals, written);
  await settled(db, watch);
  exactlyOnceInOrder(arrivals, written);
});

test('a frozen broker holds the slot back, status and a warning report it, and nothing is lost', async () => {
  const { watch, stream, warnings } = worker();
  await watch.start();
  const arrivals = await listen(stream);
  shared.broker.signal('SIGSTOP');
  onTestFinished(() => shared.broker.signal('SIGCONT'));
  await write(3000);
  expect(await held(watch)).toMatch(/has not answered|is lost/);
  const { state, heldBy, confirmedLsn } = watch.status();
  expect({ state, by: heldBy?.subscription }).toEqual({ state: 'streaming', by: `relay:${stream}` });
  const [file, offset] = heldBy!.eventId!.split('/');
  expect(compareLsn(confirmedLsn!, `${file}/${offset}`)).toBeLessThanOrEqual(0);
  expect(warnings.map(({ code, message }) => ({ code, message }))).toContainEqual({
    code: 'CONNECTION',
    message: expect.stringContaining('events cannot be published and the slot does not advance') as string,
  });
  shared.broker.signal('SIGCONT');
  await arrived(arrivals, 3000);
  await settled(db, watch);
  exactlyOnceInOrder(arrivals, 3000);
});

test('a closed connection ends the watch, so that a supervisor can restart the worker', async () => {
  const mine = await connectTo(shared.broker.url);
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

test('an ended relay publishes nothing more and does not hold the slot back', async () => {
  const slot = slotName();
  const watch = watchOf(watchers, { slot });
  const relayed = relay(watch, { connection: shared.relaying, stream: slot });
  await watch.start();
  await write(5);
  await settled(db, watch);
  relayed.unsubscribe();
  await write(5);
  await settled(db, watch);
  expect(watch.status().subscriptions).toBe(0);
  expect((await (await jetstreamManager(shared.connection)).streams.info(slot)).state.messages).toBe(5);
});
