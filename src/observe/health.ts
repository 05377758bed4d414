import type { WatchError } from '../errors.ts';
import type { SlotWatchStatus } from '../types/events.ts';

export interface Health {
  readonly live: boolean;
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** Facts about a watch, to judge its health. Times are milliseconds since 1970. */
export interface HealthFacts {
  readonly status: SlotWatchStatus;
  readonly now: number;
  /** Since when the watch has not been streaming although it should. */
  readonly downSince: number | undefined;
  /** While this watch waits as a standby: the server process that has the slot. */
  readonly activePid: number | undefined;
  /** Reading is paused because undelivered changes use too much memory. */
  readonly full: boolean;
  /** The findings of the last database inspection. */
  readonly found?: readonly WatchError[];
  /** Since when events have been waiting for other sessions to see their transaction. */
  readonly waitingSince?: number | undefined;
}

/** Milliseconds after which an unfinished event is reported. */
const slowAfter = 10_000;

/** Milliseconds after which an invisible transaction is reported: commits take a moment. */
const invisibleAfter = 1000;

/** Whether a restart would help (`live`), whether the watch works (`ready`), and the reasons. */
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
      return [downSince === undefined ? 'connecting' : `reconnecting, disconnected since ${time(downSince)}${last}`];
    case 'disconnected':
      return [`disconnected since ${time(downSince!)}, retrying${last}`];
    case 'standby':
      return [`standing by: server process ${activePid} has the slot '${slot}'`];
    case 'stopping':
      return ['stopping'];
    case 'stopped':
      return ['stopped: a stopped watch cannot be started again'];
    case 'failed':
      return [`ended by an error${last}`];
    case 'streaming':
      return silentSince === undefined ? [] : [`the server has not answered since ${silentSince.toISOString()}`];
  }
}

function deliveryReasons({ status, now, full, found = [], waitingSince }: HealthFacts): string[] {
  const { heldBy, undeliveredBytes } = status;
  const reasons: string[] = [];
  if (heldBy && (heldBy.attempt > 1 || now - heldBy.since.getTime() >= slowAfter)) {
    // Without the handler's error: its text belongs to the application, and anyone may read a health endpoint.
    const { subscription, since, eventId, attempt } = heldBy;
    reasons.push(
      `subscription ${subscription} has held back the slot since ${since.toISOString()}: event ${eventId}, attempt ${attempt}`,
    );
  }
  if (full) reasons.push(`reading is paused: ${undeliveredBytes} bytes of changes are undelivered`);
  if (status.state !== 'streaming') return reasons;
  if (waitingSince !== undefined && now - waitingSince >= invisibleAfter)
    reasons.push(`waiting since ${time(waitingSince)} for a transaction to become visible to other sessions`);
  return [...reasons, ...found.map(({ code, message }) => `${code}: ${message}`)];
}

const time = (since: number): string => new Date(since).toISOString();
