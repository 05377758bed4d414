import {
  AckPolicy, type Consumer, type ConsumerConfig, type ConsumerMessages, DeliverPolicy, JetStreamApiCodes, JetStreamApiError,
  type JetStreamManager,
  type JsMsg, jetstream, jetstreamManager, type StreamInfo,
} from '@nats-io/jetstream'; // prettier-ignore
import { nanos, type NatsConnection } from '@nats-io/transport-node';
import { ConfigurationError, WatchError } from '../errors.ts';
import { subjectsOf } from './stream.ts';
import { slotOf, slotSubject, watcherSubject } from './subjects.ts';

/** Milliseconds after which a message that nobody has acknowledged, or said to be working on, goes to another process. */
export const ackWait = 10_000;
/** How many messages a group may be working on. */
const maxAckPending = 4096;
/** Milliseconds between signs of life of the server, and without one until it is given up. */
const heartbeat = 1000;
const patience = 4000;
/** How many are asked for at once. */
const batch = { live: 500, durable: 100 };

export interface ConsumptionOptions {
  readonly connection: NatsConnection;
  readonly stream: string;
  /** Their names: only their messages are wanted. */
  readonly watchers: readonly string[];
  /** Of a group of processes. */
  readonly durable: string | undefined;
}

/** Where reading stands, from one attempt to the next. */
export interface Position {
  /** Tells a stream from another of the same name. */
  created: string | undefined;
  /** Of the next message. */
  next: number;
}

export interface ConsumptionHost {
  /** Messages come from now on. */
  streaming(found: {
    readonly slot: string;
    readonly ackWait: number;
    /** The stream is another one than before. */
    readonly isOther: boolean;
    readonly missed: string | undefined;
  }): void;
  /** A promise: it is to be waited for. */
  take(message: JsMsg): Promise<void> | undefined;
}

interface Located {
  readonly isOther: boolean;
  readonly missed: string | undefined;
}

/** One attempt to read the stream: ends with the first thing that goes wrong. */
export class Consumption {
  readonly #options: ConsumptionOptions;
  readonly #position: Position;
  readonly #host: ConsumptionHost;
  #messages: ConsumerMessages | undefined;
  #closed = false;
  #error: Error | undefined;
  /** When it last waited for room. */
  #pausedUntil = 0;

  constructor(options: ConsumptionOptions, position: Position, host: ConsumptionHost) {
    this.#options = options;
    this.#position = position;
    this.#host = host;
  }

  /** Resolves after close(), rejects with what went wrong. */
  async run(): Promise<void> {
    const { connection, stream, durable } = this.#options;
    const manager = await jetstreamManager(connection, { checkAPI: false });
    const info = await manager.streams.info(stream);
    const slot = slotOf(subjectsOf(info.config));
    if (slot === undefined) throw noSlot(info);
    const { isOther, missed } = this.#locate(info);
    const filter = this.#filter(slot);
    const from = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: this.#position.next };
    const consumer =
      durable === undefined
        ? await jetstream(connection).consumers.get(stream, { filter_subjects: filter, ...from })
        : await sharedConsumer(connection, manager, stream, durable, filter, from);
    await this.#read(consumer, { slot, isOther, missed });
  }

  /** `error`: why, if it is not meant to end. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#messages?.stop();
  }

  async #read(consumer: Consumer, found: { slot: string } & Located): Promise<void> {
    const { durable } = this.#options;
    if (!this.#closed) {
      this.#messages = await consumer.consume({
        max_messages: durable === undefined ? batch.live : batch.durable,
        expires: 10_000,
        idle_heartbeat: heartbeat,
        abort_on_missing_resource: true,
      });
      const { ack_wait: wait } = (await consumer.info(true)).config;
      this.#host.streaming({ ...found, ackWait: wait === undefined ? ackWait : wait / 1e6 });
      if (this.#closed) this.#messages.stop(); // while it was being asked for
      void this.#listen(this.#messages);
      // What has come already is still handed over after close().
      for await (const message of this.#messages) {
        // A client whose server went may ask again from where it once began.
        if (durable === undefined && message.seq < this.#position.next) continue;
        this.#position.next = message.seq + 1;
        const full = this.#host.take(message);
        if (!full) continue;
        this.#pausedUntil = Infinity;
        await full;
        this.#pausedUntil = Date.now();
      }
    }
    if (this.#error) throw this.#error;
    if (!this.#closed) throw new Error('the consumer has ended');
  }

  /**
   * Gives the attempt up when the server goes silent. The client would ask for its consumer again and again, but one that was on
   * a server that is gone is not found and not missing either. While nothing is asked for, the server has nothing to say.
   */
  async #listen(messages: ConsumerMessages): Promise<void> {
    for await (const notification of messages.status()) {
      if (notification.type !== 'heartbeats_missed' || notification.count * heartbeat < patience) continue;
      if (Date.now() - this.#pausedUntil > patience) this.close(new Error('JetStream has gone silent'));
    }
  }

  /** Where to begin, and whether the stream still has what came since the last time. */
  #locate({ created, state, config }: StreamInfo): Located {
    const position = this.#position;
    const { first_seq: first, last_seq: last } = state;
    const before = { ...position };
    position.created = created;
    if (before.created === undefined) position.next = last + 1;
    const isOther = before.created !== undefined && before.created !== created;
    if (isOther) {
      position.next = 1;
      return { isOther, missed: `the stream '${config.name}' was deleted and made anew` };
    }
    const behind = this.#options.durable === undefined && before.created !== undefined && first > before.next;
    return {
      isOther,
      missed: behind ? `the stream '${config.name}' dropped messages before they were read` : undefined,
    };
  }

  /** Servers before 2.10 know one filter for a consumer: then the rest is passed over here. */
  #filter(slot: string): string | string[] {
    const { connection, watchers } = this.#options;
    const [only, ...others] = watchers.map((watcher) => watcherSubject(slot, watcher));
    if (only !== undefined && others.length === 0) return only;
    const [major = 0, minor = 0] = (connection.info?.version ?? '').split('.').map(Number);
    return only !== undefined && (major > 2 || minor >= 10) ? [only, ...others] : slotSubject(slot);
  }
}

/** Finds or makes the consumer of a group. One that was made by hand keeps all its settings but the filter. */
async function sharedConsumer(
  connection: NatsConnection,
  manager: JetStreamManager,
  stream: string,
  durable: string,
  filter: string | string[],
  from: Partial<ConsumerConfig>,
): Promise<Consumer> {
  // Both named, because an update would keep the other from before, and a server takes only one of them.
  const filters = {
    filter_subject: typeof filter === 'string' ? filter : undefined,
    filter_subjects: typeof filter === 'string' ? undefined : filter,
  } as Partial<ConsumerConfig>;
  const found = await manager.consumers.info(stream, durable).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound) return undefined;
    throw error;
  });
  if (!found) {
    await manager.consumers.add(stream, {
      durable_name: durable,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ackWait),
      max_ack_pending: maxAckPending,
      ...from, // what is new; where this process was, if the stream or consumer was lost while it ran
      ...filters,
    });
  } else {
    if (found.config.ack_policy !== AckPolicy.Explicit || found.config.deliver_subject !== undefined)
      throw unfit(durable);
    if (filtersOf(found.config) !== filtersOf(filters)) await manager.consumers.update(stream, durable, filters);
  }
  return jetstream(connection).consumers.get(stream, durable);
}

function filtersOf(config: Partial<ConsumerConfig>): string {
  return (config.filter_subjects ?? [config.filter_subject ?? '']).toSorted().join(' ');
}

function noSlot({ config }: StreamInfo): WatchError {
  return new ConfigurationError([
    {
      message: `the stream '${config.name}' does not carry the events of a slot (its subjects: ${subjectsOf(config).join(', ')})`,
      solution: 'Name the stream that the worker gives to relay().',
    },
  ]);
}

function unfit(durable: string): WatchError {
  return new ConfigurationError([
    {
      message: `the consumer '${durable}' is no pull consumer with explicit acknowledgement`,
      solution: 'Choose another name for `durable`, or delete that consumer.',
    },
  ]);
}
