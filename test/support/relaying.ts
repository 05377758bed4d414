/** A worker with a relay, and remote watches of it. */
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { onTestFinished } from 'vitest';
import type { EventContext, Watch, WatchError, Watchers } from '../../src/index.ts';
import { createRemoteWatch, relay, type RemoteWatchOptions } from '../../src/nats/index.ts';
import type { useNats } from './nats.ts';
import { slotName, type watchOn } from './watching.ts';

/** Records what a handler receives, except for the facts about the attempt. */
export function record(told: unknown[]) {
  return (event: object, context: EventContext): void => {
    const { watcher, type, schema, table, eventId, commitLsn, ordinal, xid, committedAt, previous, absent } = context;
    told.push({
      event: { ...event }, watcher, type, schema, table, eventId, commitLsn, ordinal, xid, committedAt, previous, absent,
    }); // prettier-ignore
  };
}

/** Creates a remote watch that is stopped at the end of the test. Its warnings are added to `warnings`. */
export function remoteOf<W extends Watchers>(options: RemoteWatchOptions<W>, warnings: WatchError[] = []): Watch<W> {
  const remote = createRemoteWatch(options);
  remote.on('warning', (warning) => warnings.push(warning));
  onTestFinished(() => remote.stop());
  return remote;
}

/** Deletes the stream and those of its dead letters and groups at the end of the test: the server may be used for more. */
export function deleteLater(connection: NatsConnection, stream: string): void {
  onTestFinished(async () => {
    const manager = await jetstreamManager(connection);
    for (const name of [stream, `${stream}_dead_letters`, `${stream}_groups`])
      await manager.streams.delete(name).catch(() => false);
  });
}

/** An event as the fault tests compare it. */
export interface Arrival {
  readonly id: number;
  readonly eventId: string;
}

/** Fails unless each of the rows 1 to `count` arrived once, in the order in which they were written. */
export function exactlyOnceInOrder(arrivals: readonly Arrival[], count: number): void {
  const ids = new Set(arrivals.map(({ eventId }) => eventId));
  if (ids.size !== arrivals.length)
    throw new Error(`${arrivals.length - ids.size} of ${arrivals.length} events came twice`);
  const wrong = arrivals.findIndex(({ id }, index) => id !== index + 1);
  if (wrong !== -1) throw new Error(`event ${wrong + 1} is of row ${arrivals[wrong]!.id}`);
  if (arrivals.length !== count) throw new Error(`${arrivals.length} of ${count} events have come`);
}

/** Makes a worker that relays and a remote watch. `start` starts both. */
export const pairOn = (watchOf: ReturnType<typeof watchOn>, nats: ReturnType<typeof useNats>) =>
  async function pair<W extends Parameters<typeof watchOf>[0]>(watchers: W) {
    const stream = slotName();
    const worker = watchOf(watchers, { slot: stream });
    const connection = await nats.connect();
    deleteLater(connection, stream);
    relay(worker, { connection, stream });
    const warnings: WatchError[] = [];
    const remote = remoteOf({ connection: await nats.connect(), stream, watchers }, warnings);
    const start = async () => {
      await worker.start();
      await remote.start();
    };
    return { worker, remote, stream, connection, warnings, start };
  };
