import { applicationName } from '../setup/judge.ts';
import type { HeldBy } from '../types/events.ts';

/** PostgreSQL truncates application names to this length. */
const longest = 63;

/** An event that keeps failing, as other programs can see it. */
export interface HoldingNote {
  readonly eventId: string;
  /** The attempt that runs now or is waited for. */
  readonly attempt: number;
}

/**
 * The application name of a worker's ordinary session. It includes the event that holds the slot back if its handler has
 * failed, because every role can read it in pg_stat_activity and `walwatch status` has no other source. It is left out
 * if the slot's name is too long for it.
 */
export function controlName(slot: string, heldBy: HeldBy | undefined): string {
  const name = `${applicationName(slot)}:control`;
  const noted = heldBy && heldBy.attempt > 1 ? `${name} ${heldBy.eventId} attempt ${heldBy.attempt}` : name;
  return noted.length > longest ? name : noted;
}

/** Reads the note from a session's application name. */
export function parseControlName(slot: string, name: string): HoldingNote | undefined {
  const prefix = `${applicationName(slot)}:control `;
  const [, eventId, attempt] =
    (name.startsWith(prefix) && /^(\S+) attempt (\d+)$/.exec(name.slice(prefix.length))) || [];
  return eventId === undefined ? undefined : { eventId, attempt: Number(attempt) };
}
