/** Remote watches and servers of a NATS cluster are killed: unhandled events are delivered again, and nothing is lost. */
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { useDatabase } from '../support/database.ts';
import { connectTo, startBroker, startBrokerCluster } from '../support/broker.ts';
import { startProgram } from '../support/program.ts';
import { type Arrival, exactlyOnceInOrder, remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

const makeTable = () =>
  db.sql('drop table if exists entries; create table entries (id int generated always as identity primary key)');
const write = async (transactions: number, rows: number) => {
  for (let left = transactions; left > 0; left--)
    await db.sql('insert into entries select from generate_series(1, $1::int)', [rows]);
};

interface Line {
  readonly started?: boolean;
  readonly begun?: number;
  readonly id?: number;
  readonly eventId?: string;
}

test(
  'processes of a group are killed under load: all events are handled, and only events that they had taken are handled again',
  { timeout: 90_000 },
  async () => {
    await makeTable();
    await using broker = await startBroker();
    const connection = await connectTo(broker.url);
    onTestFinished(() => connection.close());
    const stream = slotName();
    const worker = watchOf(watchers, { slot: stream });
    relay(worker, { connection, stream });
    await worker.start();
    const manager = await jetstreamManager(connection);
    await until(() => manager.streams.info(stream).catch(() => false), { describe: 'the stream' });

    const lines: { by: number; line: Line }[] = [];
    let started = 0;
    const join = () => {
      const by = ++started;
      return startProgram<Line>('listener', [broker.url, stream, 'mailer'], (line) => lines.push({ by, line }));
    };
    const handled = () => lines.flatMap(({ line: { id, eventId } }) => (id === undefined ? [] : [{ id, eventId }]));
    const first = join();
    const second = join();
    await until(() => lines.filter(({ line }) => line.started).length === 2, {
      describe: () => `both processes to start; they printed ${JSON.stringify(lines)}`,
    });
    const writing = write(100, 60);
    await until(() => handled().length > 1000, { describe: 'the first thousand' });
    await first.end('SIGKILL');
    const third = join();
    await until(() => handled().length > 3000, { describe: 'three thousand' });
    await second.end('SIGKILL');
    await writing;
    await until(
      async () => {
        const { num_pending: waiting, num_ack_pending: begun } = await manager.consumers.info(stream, 'mailer');
        return waiting + begun === 0 && new Set(handled().map(({ id }) => id)).size === 6000;
      },
      {
        describe: () => `all 6000 to be handled; so far ${new Set(handled().map(({ id }) => id)).size}`,
        timeout: 40_000,
      },
    );
    await third.end('SIGTERM');
    // Events that were handled but not acknowledged when their process was killed: at most those that it had taken.
    const again = handled().length - 6000;
    expect(again).toBeLessThanOrEqual(2 * 256);
    expect(new Set(handled().map(({ eventId }) => eventId)).size).toBe(6000);
  },
);

test('a group continues after the broker was killed under load: all events are handled, and no process handles one twice', async () => {
  await makeTable();
  await using broker = await startBroker();
  const connection = await connectTo(broker.url);
  onTestFinished(() => connection.close());
  const stream = slotName();
  const worker = watchOf(watchers, { slot: stream });
  relay(worker, { connection, stream });
  await worker.start();
  const remote = remoteOf({ connection, stream, watchers, durable: 'mailer' });
  const states: string[] = [];
  remote.on('disconnected', () => states.push('disconnected'));
  remote.on('connected', () => states.push('connected'));
  const handled: number[] = [];
  remote.subscribe('entries:inserted', async ({ id }) => {
    await new Promise(setImmediate);
    handled.push(id);
  });
  await remote.start();
  const manager = await jetstreamManager(connection);
  const writing = write(30, 100);
  await until(() => handled.length > 500, { describe: 'the first five hundred' });
  await broker.kill('SIGKILL');
  await until(() => remote.status().state === 'disconnected', { describe: 'the loss to be noticed' });
  await broker.start();
  await writing;
  await settled(db, worker);
  await until(
    async () => {
      const info = await manager.consumers.info(stream, 'mailer').catch(() => undefined); // it may be reconnecting
      return info && info.num_pending + info.num_ack_pending === 0;
    },
    { describe: () => `all to be acknowledged; so far ${handled.length}` },
  );
  expect(new Set(handled).size).toBe(3000);
  expect(handled).toHaveLength(3000);
  expect(states.slice(states.indexOf('connected'))).toContain('disconnected');
  expect(states.at(-1)).toBe('connected');
});

test(
  'one server of three is killed under load: everything arrives, exactly once and in order',
  { timeout: 90_000 },
  async () => {
    await makeTable();
    const brokers = await startBrokerCluster();
    onTestFinished(async () => {
      for (const broker of brokers) await broker[Symbol.asyncDispose]();
    });
    const urls = brokers.map(({ url }) => url);
    const connection = await connectTo(urls);
    const relaying = await connectTo(urls);
    onTestFinished(async () => {
      await connection.close();
      await relaying.close();
    });
    const stream = slotName();
    const worker = watchOf(watchers, { slot: stream });
    relay(worker, { connection: relaying, stream });
    await worker.start();

    const arrivals: Arrival[] = [];
    const remote = remoteOf({ connection, stream, watchers });
    remote.subscribe('entries:inserted', ({ id }, { eventId }) => void arrivals.push({ id, eventId }));
    await remote.start();
    const manager = await jetstreamManager(connection);
    const info = await until(
      async () => {
        const found = await manager.streams.info(stream);
        return found.cluster?.leader ? found : undefined;
      },
      { describe: 'the stream to have a leader' },
    );
    expect(info.config.num_replicas).toBe(3);

    const writing = write(20, 500);
    await until(() => arrivals.length > 2000, { describe: 'the first two thousand' });
    await brokers[Number(info.cluster!.leader!.slice(1))]!.kill('SIGKILL');
    await writing;
    await until(() => arrivals.length >= 10_000, {
      describe: () => `10,000 events; so far ${arrivals.length}; ${JSON.stringify(worker.status())}`,
      timeout: 60_000,
    });
    await settled(db, worker);
    exactlyOnceInOrder(arrivals, 10_000);
  },
);
