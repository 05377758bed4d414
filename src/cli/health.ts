import type { HoldingNote } from '../stream/holding-note.ts';
import { warningThreshold } from '../stream/held-back.ts';
import { formatBytes, formatSeconds, type Level } from './output.ts';

/** What decides whether all is well. */
export interface Vitals {
  /** Why the slot can not be used any more, or that there is none. */
  readonly broken: string | undefined;
  readonly activePid: number | null;
  /** Since the worker has told how far it is; null: not known. */
  readonly silentSeconds: number | null;
  readonly walStatus: string | null;
  readonly retainedBytes: number;
  /** Bytes; undefined: no limit. */
  readonly limitBytes: number | undefined;
  /** The user's own threshold. */
  readonly retainedWalWarning: number | undefined;
  /** Age of the oldest change that was not acknowledged. */
  readonly waitingSeconds: number;
  /** Seconds after which the server gives up a slot without a worker; null: never. */
  readonly idleTimeoutSeconds: number | null;
  /** Standbys that hold all changes back. */
  readonly standbysBehind: readonly string[];
  /** Events that no handler could handle; a text: why that is not known. */
  readonly deadLetters: number | string;
  /** Why what waits is not known. */
  readonly waitingUnknown: string | undefined;
  /** The event whose handler fails. */
  readonly failing: HoldingNote | null;
}

/** Seconds that a change may wait before a person should look: as long as a worker waits before it warns of a slow handler. */
const patience = 10;

/** Seconds that a worker may be silent: it tells every 10 s how far it is, and a walsender that decodes much reads that every 30 s. */
const silence = 40;

/** Whether all is well, at a glance, and if not, why. */
export function judgeHealth(vitals: Vitals): { readonly level: Level; readonly reasons: readonly string[] } {
  const { broken, activePid, walStatus, retainedBytes, limitBytes, retainedWalWarning, waitingSeconds } = vitals;
  if (broken !== undefined) return { level: 'problem', reasons: [broken] };
  const problems: string[] = [];
  const warnings: string[] = [];
  if (activePid === null) problems.push(`no worker is connected${idleEnd(vitals)}`);
  problems.push(...vitals.standbysBehind);
  if (walStatus === 'unreserved')
    problems.push('the slot is about to be lost: it holds more WAL than the server keeps');
  if (vitals.silentSeconds !== null && vitals.silentSeconds > silence)
    warnings.push(
      `nothing was heard of the worker for ${formatSeconds(vitals.silentSeconds)}: the network between worker and server may be down, or the worker's clock is behind`,
    );
  const threshold = warningThreshold(retainedWalWarning, limitBytes);
  if (threshold !== undefined && retainedBytes > threshold) {
    warnings.push(`${formatBytes(retainedBytes)} of WAL are held back`);
  }
  if (waitingSeconds > patience) warnings.push(`the oldest event waits since ${formatSeconds(waitingSeconds)}`);
  if (vitals.waitingUnknown !== undefined) warnings.push(`what waits is not known: ${vitals.waitingUnknown}`);
  const { deadLetters, failing } = vitals;
  if (failing)
    warnings.push(
      `the handler of event ${failing.eventId} fails (attempt ${failing.attempt}): see the log of the worker`,
    );
  if (typeof deadLetters === 'string') warnings.push(`whether there are dead letters is not known: ${deadLetters}`);
  else if (deadLetters > 0) warnings.push(`${deadLetters} dead letter${deadLetters === 1 ? '' : 's'}`);
  const level = problems.length > 0 ? 'problem' : warnings.length > 0 ? 'warning' : 'ok';
  return { level, reasons: [...problems, ...warnings] };
}

function idleEnd({ idleTimeoutSeconds }: Vitals): string {
  if (idleTimeoutSeconds === null) return '';
  return `: the slot is lost after ${formatSeconds(idleTimeoutSeconds)} without one (idle_replication_slot_timeout)`;
}
