/** A stream of events without a worker: a test publishes in place of relay(). */
import { jetstream, type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { streamConfig } from '../../src/nats/stream.ts';
import { eventSubject, subjectToken } from '../../src/nats/subjects.ts';

export interface EventStream {
  readonly stream: string;
  readonly manager: JetStreamManager;
  /** Publishes an event of a row. */
  readonly write: (watcher: string, id: number, values?: Readonly<Record<string, string>>) => Promise<void>;
  /** Publishes the rows 1 to `count`, or more from there on. */
  readonly writeMany: (watcher: string, count: number, from?: number) => Promise<void>;
  /** The messages under the subject of an event. */
  readonly forge: (watcher: string, payload: string | Uint8Array) => Promise<void>;
  /** The messages that the group has not acknowledged. */
  readonly open: (group: string) => Promise<number>;
  readonly letters: () => Promise<Record<string, unknown>[]>;
  readonly make: (config?: Partial<StreamConfig>) => Promise<void>;
}

export async function eventStream(
  connection: NatsConnection,
  stream: string,
  config: Partial<StreamConfig> = {},
): Promise<EventStream> {
  const manager = await jetstreamManager(connection);
  const client = jetstream(connection);
  const make = async (changed: Partial<StreamConfig> = {}) => {
    await manager.streams.add({ ...streamConfig(stream, stream, 1), ...config, ...changed });
  };
  await make();
  let count = 0;
  const publish = (watcher: string, id: number, values: Readonly<Record<string, string>>) => {
    const [table = '', type] = watcher.split(':');
    const commitLsn = `0/${(++count * 16).toString(16).toUpperCase()}`;
    const event = { id: String(id), ...values };
    const types = Object.fromEntries(Object.keys(event).map((name) => [name, name === 'id' ? 23 : 25]));
    const message = {
      version: 1, watcher, type, schema: 'public', table, primaryKey: ['id'], types, eventId: `${commitLsn}/0`, commitLsn,
      ordinal: 0, xid: count, committedAt: new Date(count), event,
    }; // prettier-ignore
    const payload = JSON.stringify(type === 'updated' ? { ...message, previous: event } : message);
    return client.publish(eventSubject(stream, subjectToken(watcher), String(id)), payload);
  };
  return {
    stream,
    manager,
    make,
    write: async (watcher, id, values = {}) => void (await publish(watcher, id, values)),
    writeMany: async (watcher, last, from = 1) => {
      for (let begin = from; begin <= last; begin += 200) {
        const end = Math.min(last, begin + 199);
        await Promise.all(Array.from({ length: end - begin + 1 }, (_, index) => publish(watcher, begin + index, {})));
      }
    },
    forge: async (watcher, payload) =>
      void (await client.publish(eventSubject(stream, subjectToken(watcher), 'x'), payload)),
    open: async (group) => {
      const { num_pending: waiting, num_ack_pending: begun } = await manager.consumers.info(stream, group);
      return waiting + begun;
    },
    letters: async () => {
      const name = `${stream}_dead_letters`;
      const { state } = await manager.streams.info(name);
      const found: Record<string, unknown>[] = [];
      for (let seq = state.first_seq; seq <= state.last_seq; seq++)
        found.push((await manager.streams.getMessage(name, { seq }))!.json());
      return found;
    },
  };
}
