import {
  DiscardPolicy, JetStreamApiCodes, JetStreamApiError, type JetStreamManager, type Placement, RetentionPolicy, StorageType,
  type StreamConfig,
} from '@nats-io/jetstream'; // prettier-ignore
import { nanos } from '@nats-io/transport-node';
import { ConfigurationError, type ConfigurationIssue, shown } from '../errors.ts';
import { unknownKeys } from '../option-names.ts';
import { type JetStreamAccess, managerOf } from './access.ts';
import { slotOf, slotSubject } from './subjects.ts';

/** Milliseconds in which JetStream drops a message whose Nats-Msg-Id it has seen. This is the default of NATS. */
const duplicateWindow = 120_000;
/** Milliseconds for which a stream keeps events. */
const week = 7 * 24 * 3_600_000;

/** Limits of a stream that walwatch creates. An existing stream keeps its own limits. */
export interface StreamLimits {
  /** Milliseconds for which events are kept; 0: no limit. Default: 7 days. */
  readonly maxAge?: number;
  /** Size in bytes. A full stream refuses new events, and the slot does not advance. Default: no limit. Some accounts require one. */
  readonly maxBytes?: number;
  /** Number of events. A full stream refuses new events, and the slot does not advance. Default: no limit. */
  readonly maxMessages?: number;
  /** Default: 3 in a cluster of three or more servers, otherwise 1. */
  readonly replicas?: number;
  /** Which servers of a cluster store it. */
  readonly placement?: { readonly cluster?: string; readonly tags?: readonly string[] };
}

/** Returns every problem of the limits. */
export function limitIssues(limits: unknown): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  if (limits === undefined) return issues;
  if (typeof limits !== 'object' || limits === null)
    return [{ message: `limits is ${shown(limits)}`, solution: 'limits: { maxAge: 86_400_000, maxBytes: 1e9 }' }];
  unknownKeys(limits, ['maxAge', 'maxBytes', 'maxMessages', 'replicas', 'placement'], 'limit', issues);
  const { maxAge, maxBytes, maxMessages, replicas, placement } = limits as StreamLimits;
  const whole = (name: string, value: unknown, least: number, most: number, what: string) => {
    if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most)) return;
    issues.push({ message: `limits.${name} is ${shown(value)}`, solution: what });
  };
  if (maxAge !== 0)
    whole(
      'maxAge',
      maxAge,
      duplicateWindow,
      9e12,
      'Give 120000 milliseconds (the duplicate window) or more, or 0 for no limit.',
    );
  whole('maxBytes', maxBytes, 1, Infinity, 'Give a number of bytes: 10_000_000_000. Leave it out for no limit.');
  whole('maxMessages', maxMessages, 1, Infinity, 'Give a number of events. Leave it out for no limit.');
  whole('replicas', replicas, 1, 5, 'Give a number from 1 to 5.');
  if (placement !== undefined && (typeof placement !== 'object' || placement === null))
    issues.push({ message: `limits.placement is ${shown(placement)}`, solution: "{ cluster: 'east', tags: ['ssd'] }" });
  else if (placement) unknownKeys(placement, ['cluster', 'tags'], 'option of placement', issues);
  return issues;
}

/** The configuration of a new stream. A full stream refuses new events instead of dropping old ones. */
export function streamConfig(
  name: string,
  slot: string,
  replicas: number,
  { maxAge = week, maxBytes, maxMessages, placement }: StreamLimits = {},
): Partial<StreamConfig> & { name: string } {
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
    ...(maxBytes !== undefined && { max_bytes: maxBytes }),
    ...(maxMessages !== undefined && { max_msgs: maxMessages }),
    ...(placement !== undefined && {
      placement: { cluster: placement.cluster ?? '', tags: [...(placement.tags ?? [])] } satisfies Placement,
    }),
  };
}

/**
 * Creates a stream for notes or dead letters next to the stream of the events, with the same placement, unless it exists. When
 * it is full, it refuses new messages and keeps the old ones. If the stream of the events has a size limit, so does this one,
 * because the account may require it: `maxBytes`, or the same limit.
 */
export async function makeBeside(
  { streams }: JetStreamManager,
  events: string,
  config: Pick<StreamConfig, 'name' | 'subjects' | 'description'> & Partial<StreamConfig>,
  maxBytes?: number,
): Promise<void> {
  const found = await streams.info(config.name).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (found) return;
  const { num_replicas, placement, max_bytes: limit } = (await streams.info(events)).config;
  const made = {
    ...config,
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    num_replicas,
    ...(placement !== undefined && { placement }),
    ...(limit > 0 && { max_bytes: maxBytes ?? limit }),
  };
  await streams.add(made).catch((error: unknown) => {
    if (!(error instanceof JetStreamApiError && error.code === alreadyThere)) throw error; // another process was faster
  });
}

/** Returns the settings of a stream that would lose events, or keep processes from reading them. */
export function streamIssues(config: StreamConfig, slot: string): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  const wrong = (message: string, solution: string) =>
    issues.push({ message: `the stream '${config.name}' ${message}`, solution });
  const edit = `nats stream edit ${config.name}`;
  const { retention, duplicate_window: window, discard, max_msgs: messages, max_bytes: bytes } = config;
  const subjects = subjectsOf(config);
  if (subjects.length !== 1 || slotOf(subjects) !== slot || config.sources !== undefined) {
    wrong(
      config.sources === undefined
        ? `has the subjects ${subjects.join(', ') || '(none)'}`
        : `has sources: ${config.sources.map((source) => source.name).join(', ')}`,
      `The stream must carry the events of one slot and nothing else: ${edit} --subjects '${slotSubject(slot)}'`,
    );
  }
  if (retention === RetentionPolicy.Workqueue)
    wrong('is a work queue: only one consumer can read it', 'Create it with --retention limits.');
  if (retention === RetentionPolicy.Interest) {
    wrong(
      'drops events that no consumer waits for (--retention interest): a watch that reconnects would miss them',
      `${edit} --retention limits (NATS 2.10 and newer), or re-create the stream with --retention limits.`,
    );
  }
  if (config.no_ack) wrong('does not acknowledge messages (no_ack)', `${edit} --ack`);
  if (window < nanos(duplicateWindow)) {
    wrong(
      `recognises duplicates for only ${window / 1e9} s`,
      `${edit} --dupe-window 2m: within that time the stream drops events that a worker publishes again after a crash.`,
    );
  }
  if (discard === DiscardPolicy.Old && (messages > 0 || bytes > 0)) {
    wrong(
      'drops old events when it is full, even unread ones',
      `${edit} --discard new: then a full stream holds the slot back until there is room.`,
    );
  }
  if (config.max_msgs_per_subject > 0) {
    wrong(
      `keeps only ${config.max_msgs_per_subject} events per record (max_msgs_per_subject)`,
      `${edit} --max-msgs-per-subject -1`,
    );
  }
  if (config.allow_rollup_hdrs)
    wrong('allows one message to delete all messages before it (allow_rollup_hdrs)', `${edit} --no-allow-rollup`);
  if (config.subject_transform !== undefined)
    wrong('changes the subjects of events, so that no reader finds them (subject_transform)', 'Create it without.');
  if (config.storage === StorageType.Memory && config.num_replicas === 1)
    wrong('is lost when its server stops (memory, one replica)', 'Re-create it with --storage file.');
  return issues;
}

/** A mirror has no subjects, although the type requires them. */
export function subjectsOf(config: Partial<StreamConfig>): readonly string[] {
  return config.subjects ?? [];
}

/** Checks the stream. Creates it if it is missing and `create` is true. @throws ConfigurationError or the error of NATS */
export async function openStream(
  access: JetStreamAccess,
  name: string,
  slot: string,
  create: boolean,
  limits?: StreamLimits,
): Promise<void> {
  const manager = await managerOf(access);
  const info = await manager.streams.info(name).catch((error: unknown) => {
    if (isMissing(error) && create) return createStream(access, manager, name, slot, limits);
    throw error;
  });
  const issues = streamIssues(info.config, slot);
  if (issues.length > 0) throw new ConfigurationError(issues);
}

export function isMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

/** https://github.com/nats-io/nats-server/blob/main/server/errors.json: JSStreamNameExistErr */
const alreadyThere = 10058;

/** Creates the stream with three replicas in a cluster of three or more servers, so that it survives the loss of one. */
async function createStream(
  { connection }: JetStreamAccess,
  manager: JetStreamManager,
  name: string,
  slot: string,
  limits: StreamLimits = {},
) {
  const make = (replicas: number) => manager.streams.add(streamConfig(name, slot, replicas, limits));
  if (limits.replicas !== undefined) return make(limits.replicas);
  if (connection.info?.cluster === undefined) return make(1);
  return make(3).catch((error: unknown) => {
    if (!isTooSmall(error)) throw error;
    return make(1);
  });
}

// https://github.com/nats-io/nats-server/blob/main/server/errors.json: JSClusterNoPeersErrF, JSStreamReplicasNotSupportedErr
const tooSmall: readonly number[] = [10005, 10074];

function isTooSmall(error: unknown): boolean {
  return error instanceof JetStreamApiError && tooSmall.includes(error.code);
}
