import {
  AckPolicy, type ConsumerConfig, type ConsumerInfo, DeliverPolicy, JetStreamApiCodes, JetStreamApiError, type JetStreamManager,
} from '@nats-io/jetstream'; // prettier-ignore
import { nanos } from '@nats-io/transport-node';
import { ConfigurationError } from '../errors.ts';
import { slotSubject, watcherSubject } from './subjects.ts';

/** Milliseconds after which a message that nobody has acknowledged, or said to be working on, goes to another process. */
export const ackWait = 10_000;
/** How many messages a group may be working on. */
const maxAckPending = 4096;

export interface Wanted {
  readonly slot: string;
  /** The names of the watchers. */
  readonly watchers: readonly string[];
  /** Servers before 2.10 know one filter for a consumer: then the rest is passed over by those who read. */
  readonly several: boolean;
}

/** The subjects of the wanted events, as few as the server takes. */
export function filtersFor({ slot, watchers, several }: Wanted): readonly string[] {
  const subjects = watchers.map((watcher) => watcherSubject(slot, watcher));
  return subjects.length === 1 || (several && subjects.length > 0) ? subjects : [slotSubject(slot)];
}

/** As a server takes them. Both named, because an update would keep the other from before. */
export function filterConfig(filters: readonly string[]): Partial<ConsumerConfig> {
  const [only, ...others] = filters;
  return {
    filter_subject: others.length === 0 ? only : undefined,
    filter_subjects: others.length === 0 ? undefined : filters,
  } as Partial<ConsumerConfig>;
}

export function findConsumer(
  manager: JetStreamManager,
  stream: string,
  name: string,
): Promise<ConsumerInfo | undefined> {
  return manager.consumers.info(stream, name).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound) return undefined;
    throw error;
  });
}

/** Makes the consumer of a group. `start`: the first message that it is to read. */
export function makeConsumer(manager: JetStreamManager, stream: string, name: string, start: number, wanted: Wanted) {
  return manager.consumers.add(stream, {
    durable_name: name,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWait),
    max_ack_pending: maxAckPending,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: start,
    ...filterConfig(filtersFor(wanted)),
  });
}

/**
 * Makes it bring what is wanted besides what it already brings: other processes of the group may know more watchers, while a
 * new version is rolled out. One that was made by hand keeps all other settings.
 * @returns whether something was missing
 */
export async function widen(
  manager: JetStreamManager,
  { config, name, stream_name: stream }: ConsumerInfo,
  wanted: Wanted,
): Promise<boolean> {
  const now = filtersOf(config);
  const missing = filtersFor(wanted).filter((filter) => !now.some((wide) => covers(wide, filter)));
  if (missing.length === 0) return false;
  const all = [...now.filter((filter) => !missing.some((wide) => covers(wide, filter))), ...missing];
  const filters = all.length === 1 || wanted.several ? all : [slotSubject(wanted.slot)];
  await manager.consumers.update(stream, name, filterConfig(filters));
  return true;
}

/**
 * Makes it bring no more events of a watcher.
 * @returns whether that can be: a filter that is for more than that stays as it is
 */
export async function narrow(
  manager: JetStreamManager,
  { config, name, stream_name: stream }: ConsumerInfo,
  filter: string,
): Promise<boolean> {
  const now = filtersOf(config);
  const left = now.filter((one) => one !== filter);
  if (left.length === 0 || left.some((wide) => covers(wide, filter))) return false;
  if (left.length < now.length) await manager.consumers.update(stream, name, filterConfig(left));
  return true;
}

/** What of a consumer that was made by hand would lose events. */
export function refuseUnfit({ config, name }: ConsumerInfo): void {
  const { max_deliver: most, inactive_threshold: idle, deliver_policy: policy } = config;
  if (config.ack_policy !== AckPolicy.Explicit || config.deliver_subject !== undefined)
    throw unfit(
      name,
      'is no pull consumer with explicit acknowledgement',
      'Choose another name for `durable`, or delete that consumer.',
    );
  const replace = 'Delete it: walwatch makes it anew. Or make it without this setting.';
  if (most !== undefined && most > 0)
    throw unfit(name, `gives an event up after ${most} deliveries (max_deliver)`, replace);
  if (config.headers_only) throw unfit(name, 'brings no values (headers_only)', replace);
  if (idle) throw unfit(name, `is deleted when nobody reads for ${idle / 1e9} s (inactive_threshold)`, replace);
  if (config.mem_storage) throw unfit(name, 'forgets where it is when its server stops (mem_storage)', replace);
  if (policy === DeliverPolicy.LastPerSubject || policy === DeliverPolicy.Last)
    throw unfit(name, `begins with the last event (deliver_policy ${policy})`, replace);
}

/** The last message that is handled, or of no interest, with all before it. */
export function readBy({ num_ack_pending: pending, ack_floor: floor, delivered }: ConsumerInfo): number {
  return pending > 0 ? floor.stream_seq : delivered.stream_seq;
}

export function filtersOf({
  filter_subjects: several,
  filter_subject: one,
}: Partial<ConsumerConfig>): readonly string[] {
  return several ?? [one === undefined || one === '' ? '>' : one];
}

/** Whether all subjects of `narrow` are subjects of `wide`. All filters of ours end with `>`. */
function covers(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === '>') return true;
  const tokens = narrow.split('.');
  const pattern = wide.split('.');
  for (const [index, token] of pattern.entries()) {
    if (token === '>') return true;
    if (token !== '*' && token !== tokens[index]) return false;
  }
  return pattern.length === tokens.length;
}

function unfit(name: string, what: string, solution: string): ConfigurationError {
  return new ConfigurationError([{ message: `the consumer '${name}' ${what}`, solution }]);
}
