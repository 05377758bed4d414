import { warningThreshold } from '../stream/held-back.ts';
import { slotCreation, slotIssues } from '../setup/slot.ts';
import { type Check, check } from './checks.ts';
import type { Configuration } from './config.ts';
import { formatBytes } from './output.ts';
import type { SlotState } from './slot-state.ts';
import type { Survey } from './survey.ts';

export function slotChecks(found: Survey, configuration: Configuration, states: readonly SlotState[]): Check[] {
  const { slot, server } = found;
  const { resolved } = configuration;
  const name = `slot '${resolved.slot.name}'`;
  const why = "it stores the worker's position";
  const problems = [
    ...found.losses.flatMap(({ about, error }) => (about === 'slot' ? [error] : [])),
    ...(slot ? slotIssues(resolved.slot, slot, server) : []),
  ].map(({ message, solution }): Check => ({ name, level: 'problem', found: message, why, fix: solution }));
  if (problems.length > 0) return problems;
  if (!slot) {
    const byWorker = resolved.manage === 'create' && !server.inRecovery;
    const itself = byWorker ? 'a worker does this when it starts' : 'after creating the publication';
    return [{
      name, level: byWorker ? 'warning' : 'problem', found: 'does not exist yet', why,
      fix: `${slotCreation(resolved.slot.name, resolved.slot.failover)}; -- ${itself}; or: walwatch setup`,
    }]; // prettier-ignore
  }
  if (slot.confirmedFlushLsn === undefined) {
    return [{
      name, level: 'warning', found: 'is being created', why: 'creating a slot waits for all transactions that write',
      fix: 'See the long transactions below.',
    }]; // prettier-ignore
  }
  const state = states.find((one) => one.name === resolved.slot.name);
  const reader =
    slot.activePid === undefined
      ? 'no worker is connected'
      : `process ${slot.activePid} sends changes to ${state?.application ?? 'a worker'}`;
  return [
    { name, level: 'ok', found: `at ${slot.confirmedFlushLsn}; ${reader}`, why },
    ...(state ? [retainedCheck(state, configuration, server.maxSlotWalKeepSize)] : []),
  ];
}

function retainedCheck(state: SlotState, { resolved }: Configuration, limit: number | undefined): Check {
  const threshold = warningThreshold(resolved.retainedWalWarning, limit);
  const bytes = state.retainedBytes ?? 0;
  const near =
    limit === undefined ? 'no limit' : `${Math.round((bytes / limit) * 100)} % of the limit, ${formatBytes(limit)}`;
  return check(threshold === undefined || bytes <= threshold, 'warning', {
    name: 'retained WAL',
    found: `${formatBytes(bytes)} (${near})`,
    why: 'above the limit the slot is lost; without a limit the disk fills up',
    fix:
      state.activePid === null
        ? 'Start its worker. Or drop the slot if you no longer need it: walwatch teardown.'
        : 'Find out what the worker waits for: see heldBy in its status(), or a long transaction below.',
  });
}

/** Bytes above which another slot is reported. The limit is lower for a slot without a reader, because it grows. */
const much = { active: 1024 ** 3, inactive: 64 * 1024 ** 2 };

export function otherSlotsCheck(states: readonly SlotState[], own: string): Check {
  const others = states.filter(
    ({ name, activePid, retainedBytes }) =>
      name !== own && (retainedBytes ?? 0) >= (activePid === null ? much.inactive : much.active),
  );
  const described = others.map(
    ({ name, activePid, retainedBytes }) =>
      `'${name}' retains ${formatBytes(retainedBytes!)}${activePid === null ? ' and has no reader' : ''}`,
  );
  const unread = others.filter(({ activePid }) => activePid === null);
  return check(others.length === 0, 'warning', {
    name: 'other slots',
    found: described.join('; ') || `none retains much WAL (${states.filter(({ name }) => name !== own).length} others)`,
    why: 'all slots of a server share its disk',
    fix:
      unread.length === 0
        ? 'Check the programs that read them.'
        : `Start the programs that read them. If nothing needs a slot: ${unread.map(({ name }) => `SELECT pg_catalog.pg_drop_replication_slot('${name}');`).join(' ')}`,
  });
}
