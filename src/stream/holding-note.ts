import { applicationName } from '../setup/judge.ts';
import type { HeldBy } from '../types/events.ts';

/** PostgreSQL cuts names of sessions there. */
const longest = 63;

/** An event that fails, as other programs can see it. */
export interface HoldingNote {
  readonly eventId: string;
  /** The one that is on its way or waited for. */
  readonly attempt: number;
}

/**
 * The name of a worker's ordinary session: with the event that holds the slot, if its handler has failed. Every role sees it in
 * pg_stat_activity, and `walwatch status` has nothing else that tells of it. It does not fit if the slot's name is long.
 */
export function controlName(slot: string, heldBy: HeldBy | undefined): string {
  const name = `${applicationName(slot)}:control`;
  const noted = heldBy && heldBy.attempt > 1 ? `${name} ${heldBy.eventId} attempt ${heldBy.attempt}` : name;
  return noted.length > longest ? name : noted;
}

/** What the name of a session tells. */
export function parseControlName(slot: string, name: string): HoldingNote | undefined {
  const prefix = `${applicationName(slot)}:control `;
  const [, eventId, attempt] =
    (name.startsWith(prefix) && /^(\S+) attempt (\d+)$/.exec(name.slice(prefix.length))) || [];
  return eventId === undefined ? undefined : { eventId, attempt: Number(attempt) };
}
