import {
  DiscardPolicy, JetStreamApiCodes, JetStreamApiError, type JetStreamManager, jetstreamManager, RetentionPolicy, StorageType,
  type StreamConfig,
} from '@nats-io/jetstream'; // prettier-ignore
import { nanos, type NatsConnection } from '@nats-io/transport-node';
import { ConfigurationError, type ConfigurationIssue } from '../errors.ts';
import { slotOf, slotSubject } from './subjects.ts';

/** Milliseconds in which JetStream drops a message whose Nats-Msg-Id it has seen. NATS's own default. */
const duplicateWindow = 120_000;
/** Milliseconds for which a stream keeps events. */
const maxAge = 7 * 24 * 3_600_000;

/** What a stream is made with: events are kept for a week, and what finds no place is refused instead of pushing others out. */
export function streamConfig(name: string, slot: string, replicas: number): Partial<StreamConfig> & { name: string } {
  return {
    name,
    subjects: [slotSubject(slot)],
    description: `Events of the walwatch slot ${slot}`,
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_age: nanos(maxAge),
    duplicate_window: nanos(duplicateWindow),
    num_replicas: replicas,
  };
}

/** What of a stream would lose events, or let nobody read them. */
export function streamIssues(config: StreamConfig, slot: string): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  const wrong = (message: string, solution: string) =>
    issues.push({ message: `the stream '${config.name}' ${message}`, solution });
  const { retention, duplicate_window: window, discard, max_msgs: messages, max_bytes: bytes } = config;
  const subjects = subjectsOf(config);
  if (subjects.length !== 1 || slotOf(subjects) !== slot) {
    wrong(
      `has the subjects ${subjects.join(', ') || '(none)'}`,
      `A stream carries the events of one slot and nothing else: nats stream edit ${config.name} --subjects '${slotSubject(slot)}'`,
    );
  }
  if (retention === RetentionPolicy.Workqueue)
    wrong('is a work queue, from which only one consumer can read', 'Make it with --retention limits.');
  if (config.no_ack) wrong('acknowledges nothing', `nats stream edit ${config.name} --ack`);
  if (window < nanos(duplicateWindow)) {
    wrong(
      `recognises duplicates for ${window / 1e9} s only`,
      `nats stream edit ${config.name} --dupe-window 2m: what a crashed worker publishes again is dropped within that time.`,
    );
  }
  if (discard === DiscardPolicy.Old && (messages > 0 || bytes > 0)) {
    wrong(
      'drops old events when it is full, read or not',
      `nats stream edit ${config.name} --discard new: then the slot is held back until there is room.`,
    );
  }
  return issues;
}

/** A mirror has none, whatever its type says. */
export function subjectsOf(config: Partial<StreamConfig>): readonly string[] {
  return config.subjects ?? [];
}

/** Verifies the stream; makes it when it is missing and may be made. @throws ConfigurationError; what NATS answers */
export async function openStream(
  connection: NatsConnection,
  name: string,
  slot: string,
  create: boolean,
): Promise<void> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const info = await manager.streams.info(name).catch((error: unknown) => {
    if (isMissing(error) && create) return createStream(connection, manager, name, slot);
    throw error;
  });
  const issues = streamIssues(info.config, slot);
  if (issues.length > 0) throw new ConfigurationError(issues);
}

export function isMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

/** Three replicas where there are servers for them, so that one may be lost. */
async function createStream(connection: NatsConnection, manager: JetStreamManager, name: string, slot: string) {
  if (connection.info?.cluster === undefined) return manager.streams.add(streamConfig(name, slot, 1));
  return manager.streams.add(streamConfig(name, slot, 3)).catch((error: unknown) => {
    if (!isTooSmall(error)) throw error;
    return manager.streams.add(streamConfig(name, slot, 1));
  });
}

// https://github.com/nats-io/nats-server/blob/main/server/errors.json: JSClusterNoPeersErrF, JSStreamReplicasNotSupportedErr
const tooSmall: readonly number[] = [10005, 10074];

function isTooSmall(error: unknown): boolean {
  return error instanceof JetStreamApiError && tooSmall.includes(error.code);
}
