import type { HoldingNote } from '../stream/holding-note.ts';
import { warningThreshold } from '../stream/held-back.ts';
import { formatBytes, formatSeconds, type Level } from './output.ts';

/** The facts that decide the health. */
export interface Vitals {
  /** Why the slot does not work, or that it does not exist. */
  readonly broken: string | undefined;
  readonly activePid: number | null;
  /** Seconds since the worker's last status update; null: not known. */
  readonly silentSeconds: number | null;
  readonly walStatus: string | null;
  readonly retainedBytes: number;
  /** Bytes; undefined: no limit. */
  readonly limitBytes: number | undefined;
  /** The user's own threshold. */
  readonly retainedWalWarning: number | undefined;
  /** Age of the oldest change that was not acknowledged. */
  readonly waitingSeconds: number;
  /** Seconds after which the server invalidates a slot without a worker; null: never. */
  readonly idleTimeoutSeconds: number | null;
  /** Standbys that hold all changes back. */
  readonly standbysBehind: readonly string[];
  /** The number of dead letters, or why it is not known. */
  readonly deadLetters: number | string;
  /** Why the waiting events are not known. */
  readonly waitingUnknown: string | undefined;
  /** The event whose handler fails. */
  readonly failing: HoldingNote | null;
}

/** Seconds that a change may wait without a warning: the worker warns about a slow handler after the same time. */
const patience = 10;

/** Seconds that a worker may be silent: it sends its position every 10 s, and a busy walsender reads it every 30 s. */
const silence = 40;

/** The health as one level, and the reasons for it. */
export function judgeHealth(vitals: Vitals): { readonly level: Level; readonly reasons: readonly string[] } {
  const { broken, activePid, walStatus, retainedBytes, limitBytes, retainedWalWarning, waitingSeconds } = vitals;
  if (broken !== undefined) return { level: 'problem', reasons: [broken] };
  const problems: string[] = [];
  const warnings: string[] = [];
  if (activePid === null) problems.push(`no worker is connected${idleEnd(vitals)}`);
  problems.push(...vitals.standbysBehind);
  if (walStatus === 'unreserved') problems.push('the slot will soon be lost: it needs more WAL than the server keeps');
  if (vitals.silentSeconds !== null && vitals.silentSeconds > silence)
    warnings.push(
      `the worker has sent nothing for ${formatSeconds(vitals.silentSeconds)}: the network between worker and server may be down, or the worker's clock is behind`,
    );
  const threshold = warningThreshold(retainedWalWarning, limitBytes);
  if (threshold !== undefined && retainedBytes > threshold) {
    warnings.push(`the slot retains ${formatBytes(retainedBytes)} of WAL`);
  }
  if (waitingSeconds > patience)
    warnings.push(`the oldest event has been waiting for ${formatSeconds(waitingSeconds)}`);
  if (vitals.waitingUnknown !== undefined)
    warnings.push(`the waiting events could not be read: ${vitals.waitingUnknown}`);
  const { deadLetters, failing } = vitals;
  if (failing)
    warnings.push(`the handler of event ${failing.eventId} fails (attempt ${failing.attempt}): see the worker's log`);
  if (typeof deadLetters === 'string') warnings.push(`the dead letters could not be counted: ${deadLetters}`);
  else if (deadLetters > 0) warnings.push(`${deadLetters} dead letter${deadLetters === 1 ? '' : 's'}`);
  const level = problems.length > 0 ? 'problem' : warnings.length > 0 ? 'warning' : 'ok';
  return { level, reasons: [...problems, ...warnings] };
}

function idleEnd({ idleTimeoutSeconds }: Vitals): string {
  if (idleTimeoutSeconds === null) return '';
  return `: after ${formatSeconds(idleTimeoutSeconds)} without one the slot is lost (idle_replication_slot_timeout)`;
}
