/**
 * The relay to NATS JetStream: `node .build/bench/relay.js [changes]`, or `npm run bench:relay`. Needs the binary
 * `nats-server`; PostgreSQL is BENCH_DATABASE_URL (a superuser's), else an embedded one. Prints
 *   1. changes per second from a backlog in the slot through the relay, against a bare JetStream publisher (`js.publish`, as many
 *      in flight) with the same messages;
 *   2. the time from a commit to the handler in another process's watch, against that from a bare publish to a bare consumer;
 *   3. the cost of routing by subject, with a consumer for each record, against routing in the process.
 */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import pg from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { createRemoteWatch, relay } from 'walwatch/nats';
import { type Broker, connectTo, startBroker } from '../test/support/broker.ts';
import { startCluster } from '../test/support/cluster.ts';

const changes = Number(process.argv[2] ?? 100_000);
const inFlight = 512;
const slot = 'walwatch_bench_relay';
const watchers = defineWatchers<{ walwatch_bench_relay: { id: number; role_id: number } }>()([
  ['walwatch_bench_relay', 'inserted', { extraColumns: ['role_id'] }],
  ['walwatch_bench_relay', 'updated', { extraColumns: ['role_id'] }],
]);

interface Stored {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly header: MsgHdrs;
}

const rate = (count: number, begin: number) => Math.round(count / ((performance.now() - begin) / 1000));

async function insert(client: pg.Client, count: number): Promise<void> {
  for (let from = 1; from <= count; from += 1000) {
    await client.query('insert into walwatch_bench_relay select n, n % 100 from generate_series($1::int, $2::int) n', [
      from,
      Math.min(from + 999, count),
    ]);
  }
}

/** Relays a backlog; returns changes per second. */
async function throughRelay(url: string, client: pg.Client, broker: Broker): Promise<number> {
  const first = createWatch({ connection: url, slot, watchers });
  await first.start(); // creates the slot, and receives nothing
  await first.stop();
  await insert(client, changes);
  const connection = await connectTo(broker.url);
  const watch = createWatch({ connection: url, slot, watchers });
  relay(watch, { connection, stream: slot });
  const manager = await jetstreamManager(connection);
  const begin = performance.now();
  await watch.start();
  for (;;) {
    const stored = await manager.streams.info(slot).then(
      ({ state }) => state.messages,
      () => 0,
    );
    if (stored >= changes) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const result = rate(changes, begin);
  await watch.stop();
  await connection.close();
  return result;
}

/** The messages that the relay has stored. */
async function storedBy(connection: NatsConnection): Promise<Stored[]> {
  const consumer = await jetstream(connection).consumers.get(slot);
  const stored: Stored[] = [];
  const messages = await consumer.consume({ max_messages: 1000 });
  for await (const message of messages) {
    const header = headers();
    for (const name of message.headers!.keys()) header.set(name, message.headers!.get(name));
    stored.push({ subject: message.subject, payload: message.data, header });
    if (stored.length === changes) break;
  }
  return stored;
}

/** Publishes messages with as many in flight as the relay has; returns messages per second. */
async function bare(connection: NatsConnection, messages: readonly Stored[]): Promise<number> {
  const js = jetstream(connection);
  const begin = performance.now();
  let next = 0;
  const publishAll = async () => {
    for (let message = messages[next++]; message; message = messages[next++])
      await js.publish(message.subject, message.payload, { headers: message.header });
  };
  await Promise.all(Array.from({ length: inFlight }, publishAll));
  return rate(messages.length, begin);
}

const percentile = (sorted: readonly number[], share: number) => sorted[Math.floor(sorted.length * share)]!.toFixed(2);

function summary(milliseconds: number[]) {
  const sorted = milliseconds.toSorted((one, other) => one - other);
  return { 'p50 ms': percentile(sorted, 0.5), 'p99 ms': percentile(sorted, 0.99) };
}

/** From the commit, seen by the writer, to the handler; one transaction at a time. */
async function latencyOfRelay(url: string, client: pg.Client, broker: Broker, count: number) {
  const connections = [await connectTo(broker.url), await connectTo(broker.url)];
  const watch = createWatch({ connection: url, slot, watchers });
  relay(watch, { connection: connections[0]!, stream: slot });
  const remote = createRemoteWatch({ connection: connections[1]!, stream: slot, watchers });
  const times: number[] = [];
  let committed = 0;
  let heard!: () => void;
  remote.subscribe('walwatch_bench_relay:updated', () => {
    const arrived = performance.now();
    // The commit may be seen by the writer after the handler has run.
    setImmediate(() => heard());
    times.push(arrived);
  });
  await watch.start();
  await remote.start();
  const latencies: number[] = [];
  for (let index = 1; index <= count; index++) {
    const arrival = new Promise<void>((resolve) => (heard = resolve));
    await client.query('update walwatch_bench_relay set role_id = role_id + 1 where id = $1', [index]);
    committed = performance.now();
    await arrival;
    latencies.push(Math.max(0, times.at(-1)! - committed));
  }
  await remote.stop();
  await watch.stop();
  for (const connection of connections) await connection.close();
  return summary(latencies);
}

async function latencyOfBare(broker: Broker, stream: string, messages: readonly Stored[]) {
  const publishing = await connectTo(broker.url);
  const listening = await connectTo(broker.url);
  const consumer = await jetstream(listening).consumers.get(stream);
  let heard!: () => void;
  const consumed = await consumer.consume({ callback: () => heard() });
  const latencies: number[] = [];
  for (const { subject, payload } of messages) {
    const arrival = new Promise<void>((resolve) => (heard = resolve));
    const begin = performance.now();
    const stored = jetstream(publishing).publish(subject, payload);
    await arrival;
    latencies.push(performance.now() - begin);
    await stored;
  }
  await consumed.close();
  await publishing.close();
  await listening.close();
  return summary(latencies);
}

/**
 * Some hundred records are subscribed to while all messages are published: over a consumer for each, or over one and a look-up
 * here. The broker has to check every consumer for every message.
 */
async function routing(broker: Broker, all: readonly Stored[], records: number) {
  const messages = all.slice(0, 20_000);
  const meant = new Set(messages.slice(-records).map(({ subject }) => subject));
  const publishing = await connectTo(broker.url);
  const listening = await connectTo(broker.url);
  const manager = await jetstreamManager(publishing);
  const { config } = await manager.streams.info(slot);
  const measure = async (filters: readonly (string | undefined)[]) => {
    await manager.streams.delete(slot);
    await manager.streams.add(config);
    const begin = performance.now();
    let count = 0;
    let finish!: () => void;
    const done = new Promise<void>((resolve) => (finish = resolve));
    const consumed = [];
    for (const subject of filters) {
      const consumer = await jetstream(listening).consumers.get(
        slot,
        subject === undefined ? {} : { filter_subjects: subject },
      );
      const callback = (message: { readonly subject: string; json(): unknown }) => {
        message.json(); // a remote watch decodes everything it gets
        if (meant.has(message.subject) && ++count === records) finish();
      };
      consumed.push(await consumer.consume({ max_messages: 500, callback }));
    }
    const ready = performance.now() - begin;
    const published = await bare(publishing, messages);
    await done;
    for (const one of consumed) await one.close();
    return { 'ready after ms': Math.round(ready), 'published/s': published };
  };
  const result = {
    [`${records} records: a consumer for each`]: await measure([...meant]),
    [`${records} records: one consumer for all, and a look-up here`]: await measure([undefined]),
  };
  await publishing.close();
  await listening.close();
  return result;
}

async function main(url: string): Promise<void> {
  await using broker = await startBroker();
  const client = new pg.Client(url);
  await client.connect();
  await client.query('create table walwatch_bench_relay (id int primary key, role_id int)');
  try {
    const relayed = await throughRelay(url, client, broker);
    const connection = await connectTo(broker.url);
    const manager = await jetstreamManager(connection);
    const messages = await storedBy(connection);
    const { config } = await manager.streams.info(slot);
    // The same stream, empty again, so that the same messages are taken.
    await manager.streams.delete(slot);
    await manager.streams.add(config);
    const published = await bare(connection, messages);
    console.table([
      { changes, 'relay/s': relayed, 'bare publisher/s': published, ratio: Number((relayed / published).toFixed(2)) },
    ]);
    console.table({ ...(await routing(broker, messages, 200)), ...(await routing(broker, messages, 2000)) });
    console.table({
      'commit → handler elsewhere': await latencyOfRelay(url, client, broker, 2000),
      'bare publish → bare consumer': await latencyOfBare(broker, slot, messages.slice(0, 2000)),
    });
    await connection.close();
  } finally {
    await client.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '${slot}'`,
    );
    await client.query(`drop publication if exists ${slot}`);
    await client.query('drop table walwatch_bench_relay');
    await client.end();
  }
}

const given = process.env['BENCH_DATABASE_URL'];
if (given) await main(given);
else {
  await using cluster = await startCluster({ settings: { shared_buffers: '256MB', max_wal_size: '4GB' } });
  await main(cluster.url);
}
