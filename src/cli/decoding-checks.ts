import { type StandbySlot, standbysBehind } from '../postgres/standby-slots.ts';
import { type Check, check } from './checks.ts';
import { formatBytes, formatSeconds } from './output.ts';
import type { SlotState } from './slot-state.ts';

/** From how many bytes on decoding is slowed down by what it writes to disk. */
const muchSpilled = 1024 ** 3;

/** What the server's settings do to a slot. A setting that is not in use has no line. */
export function decodingChecks(state: SlotState, standbys: readonly StandbySlot[]): Check[] {
  return [...standbyCheck(state, standbys), ...idleCheck(state), ...spillCheck(state)];
}

function standbyCheck({ name }: SlotState, standbys: readonly StandbySlot[]): Check[] {
  if (standbys.length === 0) return [];
  const behind = standbysBehind(name, standbys);
  return [
    check(behind.length === 0, 'problem', {
      name: 'synchronized_standby_slots',
      found: behind.map(({ message }) => message).join('; ') || `${standbys.map((one) => one.name).join(', ')}: connected`,
      why: 'no change of a failover slot is sent before these standbys have it',
      fix: behind[0]?.solution,
    }),
  ]; // prettier-ignore
}

function idleCheck({ activePid, idleTimeoutSeconds, inactiveSince }: SlotState): Check[] {
  if (idleTimeoutSeconds === null) return [];
  const since = inactiveSince ? `, and none has been connected since ${inactiveSince.toISOString()}` : '';
  return [
    check(activePid !== null, 'warning', {
      name: 'idle_replication_slot_timeout',
      found: `${formatSeconds(idleTimeoutSeconds)} without a worker${since}`,
      why: 'after it the server gives up the slot, and changes are lost',
      fix: 'Start the worker. Or: ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_catalog.pg_reload_conf();',
    }),
  ];
}

function spillCheck({ spilledTransactions, spilledBytes }: SlotState): Check[] {
  if (spilledTransactions === 0) return [];
  return [
    check(spilledBytes < muchSpilled, 'warning', {
      name: 'logical_decoding_work_mem',
      found: `larger transactions so far: ${spilledTransactions}, ${formatBytes(spilledBytes)} of them on disk`,
      why: 'large transactions are decoded by way of the disk, which takes time and space',
      fix: "ALTER SYSTEM SET logical_decoding_work_mem = '256MB'; SELECT pg_catalog.pg_reload_conf(); -- for each walsender",
    }),
  ];
}
