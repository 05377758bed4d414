import {
  AckPolicy,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamManager,
  type StreamInfo,
} from '@nats-io/jetstream';
import { nanos, nuid } from '@nats-io/transport-node';
import { ConfigurationError, WatchError } from '../errors.ts';
import { type JetStreamAccess, apiPrefixOf, managerOf } from './access.ts';
import { Continuity, type Position } from './continuity.ts';
import type { Group } from './group.ts';
import { Puller, type PullerHost } from './puller.ts';
import {
  ackWait,
  filterConfig,
  filtersFor,
  findConsumer,
  makeConsumer,
  readBy,
  refuseUnfit,
  type Wanted,
  widen,
} from './shared-consumer.ts';
import type { StreamMessage } from './stream-message.ts';
import { streamIssues, subjectsOf } from './stream.ts';
import { slotOf } from './subjects.ts';

/** Bytes of one pull request. */
const pulled = 8 * 1024 * 1024;
/** Milliseconds between checks of what the stream still holds. */
const lookInterval = 3000;
/** Milliseconds without a request after which the server removes the consumer of a process without a group. */
const inactiveThreshold = 300_000;

export interface ConsumptionOptions {
  readonly access: JetStreamAccess;
  readonly stream: string;
  /** The names of the watchers whose messages are read. */
  readonly watchers: readonly string[];
  /** The processes that share a consumer. */
  readonly group: Group | undefined;
}

export interface ConsumptionHost extends Pick<PullerHost, 'room' | 'wanted'> {
  /** Reports the slot whose events the stream carries. */
  found(slot: string): void;
  /** Messages arrive from now on. */
  streaming(found: { readonly ackWait: number; readonly isOther: boolean; readonly missed: string | undefined }): void;
  take(message: StreamMessage): void;
  /** Messages were dropped before this process or group read them. */
  missed(reason: string): void;
  warn(warning: WatchError): void;
}

/** One attempt to read the stream. It ends with the first failure. */
export class Consumption {
  readonly #options: ConsumptionOptions;
  readonly #position: Position;
  readonly #continuity: Continuity;
  readonly #host: ConsumptionHost;
  #puller: Puller | undefined;
  #manager!: JetStreamManager;
  #consumer!: ConsumerInfo;
  #wanted!: Wanted;
  /** Without a group: the number of messages that the consumer has delivered. */
  #received = 0;
  #looking = false;
  #closed = false;
  #error: Error | undefined;

  constructor(options: ConsumptionOptions, position: Position, continuity: Continuity, host: ConsumptionHost) {
    this.#options = options;
    this.#position = position;
    this.#continuity = continuity;
    this.#host = host;
  }

  /** Resolves after close(). Rejects when reading fails. */
  async run(): Promise<void> {
    const { access, stream, watchers, group } = this.#options;
    const manager = (this.#manager = await managerOf(access));
    const info = await manager.streams.info(stream);
    const slot = slotOf(subjectsOf(info.config));
    if (slot === undefined) throw noSlot(info);
    this.#host.found(slot);
    this.#wanted = { slot, watchers, several: takesSeveral(access) };
    await group?.announce(); // before the consumer delivers events to processes without these watchers, and before recall()
    const isNew = !(await group?.recall(this.#position)); // another process may have reported the gap already
    const { isOther, missed } = this.#continuity.locate(info);
    const behind = group ? await this.#join(group, isNew, missed !== undefined, info) : await this.#listen();
    const { config } = this.#consumer;
    const limits = { messages: config.max_batch, bytes: config.max_bytes, expires: (config.max_expires ?? 0) / 1e6 };
    const subject = `${apiPrefixOf(access)}.CONSUMER.MSG.NEXT.${stream}.${this.#consumer.name}`;
    this.#puller = new Puller(access.connection, subject, pulled, limits, {
      room: () => this.#host.room(),
      wanted: () => this.#host.wanted(),
      take: (message) => this.#take(message),
    });
    if (this.#closed)
      this.#puller.close(this.#error); // closed while the requests above were running
    else {
      const wait = config.ack_wait === undefined ? ackWait : config.ack_wait / 1e6;
      this.#host.streaming({ ackWait: wait, isOther, missed: missed ?? behind });
    }
    const looks = setInterval(() => void this.look(), lookInterval);
    try {
      await this.#puller.run();
    } finally {
      clearInterval(looks);
      if (!group) void manager.consumers.delete(stream, this.#consumer.name).catch(() => {}); // otherwise it expires
    }
  }

  /** `error` is the reason, when the attempt failed. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#puller?.close(error);
  }

  #take(message: StreamMessage): void {
    if (!this.#options.group) {
      // This consumer has no acknowledgements: after a lost message the next attempt reads from that message again.
      if (message.delivery !== ++this.#received) {
        this.close(new Error('messages were lost between the NATS server and this process'));
        return;
      }
      this.#continuity.advance(message.seq);
      this.#position.next = message.seq + 1;
    }
    this.#host.take(message);
  }

  /** Creates a consumer without acknowledgements for this process alone. */
  async #listen(): Promise<undefined> {
    const { stream } = this.#options;
    this.#consumer = await this.#manager.consumers.add(stream, {
      name: `walwatch_${nuid.next()}`,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#position.next,
      inactive_threshold: nanos(inactiveThreshold),
      mem_storage: true,
      num_replicas: 1,
      ...filterConfig(filtersFor(this.#wanted)),
    });
  }

  /** Finds or creates the consumer of the group. `isNew`: the group's position is unknown. */
  async #join(group: Group, isNew: boolean, isBehind: boolean, { state }: StreamInfo): Promise<string | undefined> {
    const { stream } = this.#options;
    const found = await findConsumer(this.#manager, stream, group.name);
    if (found) refuseUnfit(found);
    const consumer =
      found ?? (await makeConsumer(this.#manager, stream, group.name, this.#position.next, this.#wanted));
    if (found) await widen(this.#manager, found, this.#wanted);
    this.#consumer = consumer;
    if (found && isNew) this.#position.next = readBy(found) + 1;
    const missed = this.#continuity.meet(consumer.created, consumer.config.opt_start_seq ?? readBy(consumer) + 1);
    const dropped = found && isNew ? this.#continuity.look(state, this.#position.next) : undefined;
    if (isNew || isBehind || missed !== undefined) await group.remember(this.#position);
    return missed ?? dropped;
  }

  /** Checks whether messages were dropped unread. `last`: this is the last check, after reading has ended. */
  async look(last = false): Promise<void> {
    if (this.#looking || !this.#puller || (this.#closed && !last)) return;
    this.#looking = true;
    // An error here is ignored: the requests for messages fail as well and report it.
    await this.#compare(last).catch(() => {});
    this.#looking = false;
  }

  async #compare(last: boolean): Promise<void> {
    const { stream, group } = this.#options;
    const { consumers, streams } = this.#manager;
    const consumer = await consumers.info(stream, this.#consumer.name);
    const info = await streams.info(stream); // second, so that it shows every purge that happened before the first answer
    if (info.created !== this.#position.created || consumer.created !== this.#consumer.created) {
      this.close(new Error(`the stream '${stream}' or its consumer was re-created`));
      return;
    }
    for (const issue of streamIssues(info.config, this.#wanted.slot))
      this.#host.warn(new WatchError('CONFIGURATION', issue.message, { solution: issue.solution }));
    if (this.#continuity.listsDeleted(info.state))
      this.#continuity.deleted((await streams.info(stream, { deleted_details: true })).state.deleted ?? []);
    const all = group !== undefined || consumer.delivered.consumer_seq === this.#received;
    const missed = this.#continuity.look(info.state, all ? readBy(consumer) + 1 : 0);
    if (missed !== undefined && !(await group?.isTold(this.#position))) this.#host.missed(missed);
    if (!group) return;
    if (!last && (await widen(this.#manager, consumer, this.#wanted)))
      this.#host.missed(
        `somebody changed the filter of the consumer '${group.name}': it left out watchers of this process`,
      );
    await group.keep(this.#position, last || missed !== undefined);
  }
}

function takesSeveral({ connection }: JetStreamAccess): boolean {
  const [major = 0, minor = 0] = (connection.info?.version ?? '').split('.').map(Number);
  return major > 2 || minor >= 10;
}

function noSlot({ config }: StreamInfo): WatchError {
  return new ConfigurationError([
    {
      message: `the stream '${config.name}' does not carry the events of a slot (its subjects: ${subjectsOf(config).join(', ')})`,
      solution: 'Use the stream that the worker passes to relay().',
    },
  ]);
}
