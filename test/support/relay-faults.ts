/** What the fault tests of the relay share: a broker, a table, a worker with a relay, and a remote watch. */
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { type Broker, connectTo, startBroker } from './broker.ts';
import type { useDatabase } from './database.ts';
import { type Arrival, remoteOf } from './relaying.ts';
import { until } from './until.ts';
import { slotName, watchOn } from './watching.ts';

export const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

export function useRelay(db: ReturnType<typeof useDatabase>) {
  const watchOf = watchOn(db);
  let broker: Broker;
  /** The connection of the remote watches. The relay has another one. */
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

  /** Inserts `count` rows, a thousand in each transaction. */
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

  /** A worker with a relay in this process. */
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

  /** Resolves when the relay holds the slot back, with the message of its error. */
  async function held(watch: SlotWatch): Promise<string> {
    const { error } = await until(
      () => {
        const { heldBy } = watch.status();
        return heldBy?.error === undefined ? undefined : heldBy;
      },
      { describe: 'the slot to be held back by an error' },
    );
    return (error as Error).message;
  }

  return {
    get broker() { return broker; },
    get connection() { return connection; },
    get relaying() { return relaying; },
    write, listen, worker, arrived, held,
  }; // prettier-ignore
}
