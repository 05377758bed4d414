import type { WatchError } from '../errors.ts';
import type { SlotWatchStatus } from '../types/events.ts';

export interface Health {
  readonly live: boolean;
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** What is known of a watch. Times are milliseconds since 1970. */
export interface HealthFacts {
  readonly status: SlotWatchStatus;
  readonly now: number;
  /** Since when it has not been streaming, after it was or should have been. */
  readonly downSince: number | undefined;
  /** The process of the server that has the slot, while standing by. */
  readonly activePid: number | undefined;
  /** Reading pauses because of the memory that undelivered changes take. */
  readonly full: boolean;
  /** What the last inspection of the database found. */
  readonly found?: readonly WatchError[];
  /** Since when events wait until other sessions can see their transaction. */
  readonly waitingSince?: number | undefined;
}

/** Milliseconds after which an event that is not done is a fact to be told. */
const slowAfter = 10_000;

/** The same for a transaction that is not visible: commits take a moment. */
const invisibleAfter = 1000;

/** Whether a restart would help, whether the watch does its work, and why not, or what is the matter. */
export function judgeHealth(facts: HealthFacts): Health {
  const { state, silentSince } = facts.status;
  return {
    live: state !== 'failed' && state !== 'stopped',
    ready: (state === 'streaming' && silentSince === undefined) || state === 'standby',
    reasons: [...stateReasons(facts), ...deliveryReasons(facts)],
  };
}

function stateReasons({ status, downSince, activePid }: HealthFacts): string[] {
  const { state, slot, error, silentSince } = status;
  const last = error === undefined ? '' : `: ${error.code}, ${error.message}`;
  switch (state) {
    case 'idle':
      return ['start() has not been called'];
    case 'connecting':
      return [
        downSince === undefined ? 'connecting' : `connecting again, disconnected since ${time(downSince)}${last}`,
      ];
    case 'disconnected':
      return [`disconnected since ${time(downSince!)}, trying again${last}`];
    case 'standby':
      return [`standing by: process ${activePid} of the server has the slot '${slot}'`];
    case 'stopping':
      return ['stopping'];
    case 'stopped':
      return ['stopped: a watch does not start again'];
    case 'failed':
      return [`ended by an error${last}`];
    case 'streaming':
      return silentSince === undefined
        ? []
        : [`the server has sent nothing since ${silentSince.toISOString()}, although it was asked`];
  }
}

function deliveryReasons({ status, now, full, found = [], waitingSince }: HealthFacts): string[] {
  const { heldBy, undeliveredBytes } = status;
  const reasons: string[] = [];
  if (heldBy && (heldBy.attempt > 1 || now - heldBy.since.getTime() >= slowAfter)) {
    // Not the handler's error: what it says is the application's, and probes are read by anybody.
    const { subscription, since, eventId, attempt } = heldBy;
    reasons.push(
      `the slot is held by subscription ${subscription} since ${since.toISOString()}: event ${eventId}, attempt ${attempt}`,
    );
  }
  if (full) reasons.push(`reading pauses: ${undeliveredBytes} bytes of changes are not delivered yet`);
  if (status.state !== 'streaming') return reasons;
  if (waitingSince !== undefined && now - waitingSince >= invisibleAfter)
    reasons.push(`waiting since ${time(waitingSince)} until other sessions can see a transaction`);
  return [...reasons, ...found.map(({ code, message }) => `${code}: ${message}`)];
}

const time = (since: number): string => new Date(since).toISOString();
