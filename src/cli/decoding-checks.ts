import { type StandbySlot, standbysBehind } from '../postgres/standby-slots.ts';
import { type Check, check } from './checks.ts';
import { formatBytes, formatSeconds } from './output.ts';
import type { SlotState } from './slot-state.ts';

/** Bytes on disk above which decoding becomes noticeably slower. */
const muchSpilled = 1024 ** 3;

/** Effects of server settings on a slot. A setting that is not in use gives no check. */
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
      why: 'the server sends a change of a failover slot only after these standbys have received it',
      fix: behind[0]?.solution,
    }),
  ]; // prettier-ignore
}

function idleCheck({ activePid, idleTimeoutSeconds, inactiveSince }: SlotState): Check[] {
  if (idleTimeoutSeconds === null) return [];
  const since = inactiveSince ? `; the last one disconnected at ${inactiveSince.toISOString()}` : '';
  return [
    check(activePid !== null, 'warning', {
      name: 'idle_replication_slot_timeout',
      found: `${formatSeconds(idleTimeoutSeconds)} without a worker${since}`,
      why: 'after this time the server invalidates the slot, and changes are lost',
      fix: 'Start the worker. Or: ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_catalog.pg_reload_conf();',
    }),
  ];
}

function spillCheck({ spilledTransactions, spilledBytes }: SlotState): Check[] {
  if (spilledTransactions === 0) return [];
  return [
    check(spilledBytes < muchSpilled, 'warning', {
      name: 'logical_decoding_work_mem',
      found: `${spilledTransactions} transaction${spilledTransactions === 1 ? '' : 's'} exceeded it so far, ${formatBytes(spilledBytes)} were written to disk`,
      why: 'the server writes larger transactions to disk while it decodes them, which takes time and space',
      fix: "ALTER SYSTEM SET logical_decoding_work_mem = '256MB'; SELECT pg_catalog.pg_reload_conf(); -- for each walsender",
    }),
  ];
}
