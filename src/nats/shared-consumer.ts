import {
  AckPolicy, type ConsumerConfig, type ConsumerInfo, DeliverPolicy, JetStreamApiCodes, JetStreamApiError, type JetStreamManager,
} from '@nats-io/jetstream'; // prettier-ignore
import { nanos } from '@nats-io/transport-node';
import { ConfigurationError } from '../errors.ts';
import { slotSubject, watcherSubject } from './subjects.ts';

/** Milliseconds without an acknowledgement or a sign of work after which a message goes to another process. */
export const ackWait = 10_000;
/** How many messages a group may handle at once. */
const maxAckPending = 4096;

export interface Wanted {
  readonly slot: string;
  /** The names of the watchers. */
  readonly watchers: readonly string[];
  /** Whether a consumer may have several filters (NATS 2.10 and newer). Otherwise the readers skip the other events. */
  readonly several: boolean;
}

/** The filters for these watchers: one for each if the server supports that, otherwise one for the whole slot. */
export function filtersFor({ slot, watchers, several }: Wanted): readonly string[] {
  const subjects = watchers.map((watcher) => watcherSubject(slot, watcher));
  return subjects.length === 1 || (several && subjects.length > 0) ? subjects : [slotSubject(slot)];
}

/** The filters as consumer configuration. It sets both fields, because an update keeps a field that is left out. */
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

/** Creates the consumer of a group. `start`: the first message to read. */
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
 * Adds filters to the consumer. It keeps its present filters, because during a rolling deploy other processes of the group may
 * have more watchers, and all other settings.
 * @returns whether a filter was missing
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
 * Removes the filter of a watcher from the consumer.
 * @returns false if a wider filter covers the watcher: that one stays
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

/** Rejects settings of a consumer created by hand that would lose events. */
export function refuseUnfit({ config, name }: ConsumerInfo): void {
  const { max_deliver: most, inactive_threshold: idle, deliver_policy: policy } = config;
  if (config.ack_policy !== AckPolicy.Explicit || config.deliver_subject !== undefined)
    throw unfit(
      name,
      'is not a pull consumer with explicit acknowledgement',
      'Choose another name for `durable`, or delete that consumer.',
    );
  const replace = 'Delete the consumer: walwatch creates a new one. Or create it yourself without this setting.';
  if (most !== undefined && most > 0)
    throw unfit(name, `gives up an event after ${most} deliveries (max_deliver)`, replace);
  if (config.headers_only) throw unfit(name, 'delivers no values (headers_only)', replace);
  if (idle) throw unfit(name, `is deleted after ${idle / 1e9} s without a reader (inactive_threshold)`, replace);
  if (config.mem_storage) throw unfit(name, 'loses its position when its server stops (mem_storage)', replace);
  if (policy === DeliverPolicy.LastPerSubject || policy === DeliverPolicy.Last)
    throw unfit(name, `starts at the last event and skips earlier ones (deliver_policy ${policy})`, replace);
}

/** The last message up to which all are handled or filtered out. */
export function readBy({ num_ack_pending: pending, ack_floor: floor, delivered }: ConsumerInfo): number {
  return pending > 0 ? floor.stream_seq : delivered.stream_seq;
}

export function filtersOf({
  filter_subjects: several,
  filter_subject: one,
}: Partial<ConsumerConfig>): readonly string[] {
  return several ?? [one === undefined || one === '' ? '>' : one];
}

/** Whether `wide` matches all subjects of `narrow`. All our filters end with `>`. */
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
