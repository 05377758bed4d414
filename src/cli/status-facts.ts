import type { Client } from 'pg';
import { readServer } from '../postgres/server.ts';
import { readStandbySlots, standbysBehind } from '../postgres/standby-slots.ts';
import { readPublication } from '../setup/publication.ts';
import { invalidation, readSlot } from '../setup/slot.ts';
import { slotBlocked } from '../setup/slot-blocked.ts';
import { type HoldingNote, parseControlName } from '../stream/holding-note.ts';
import type { Configuration } from './config.ts';
import { judgeHealth } from './health.ts';
import { countLetters, type LetterCount } from './letter-count.ts';
import type { LiveEvent } from './live-events.ts';
import type { Level } from './output.ts';
import { readSlotStates, type SlotState } from './slot-state.ts';
import { readWaiting, type Waiting } from './waiting.ts';

/** The state of a slot, its worker and its events, as the database shows it. */
export interface Status {
  readonly slot: string;
  readonly publication: string;
  readonly level: Level;
  readonly reasons: readonly string[];
  readonly activePid: number | null;
  readonly application: string | null;
  readonly address: string | null;
  readonly lastReply: Date | null;
  readonly confirmedLsn: string | null;
  readonly currentLsn: string | null;
  readonly lagBytes: number | null;
  /** Null: not known. */
  readonly lagSeconds: number | null;
  readonly retainedBytes: number | null;
  readonly limitBytes: number | null;
  readonly safeBytes: number | null;
  readonly walStatus: string | null;
  /** Null while a worker reads it, and before PostgreSQL 17. */
  readonly inactiveSince: Date | null;
  readonly idleTimeoutSeconds: number | null;
  readonly spilledTransactions: number;
  readonly spilledBytes: number;
  readonly waiting: Waiting | null;
  /** Dead letters by subscription. */
  readonly deadLetters: LetterCount;
  /** The event whose handler fails, as the worker reported it at its last inspection. */
  readonly failing: HoldingNote | null;
  readonly lastEvents?: readonly LiveEvent[];
  readonly lastEventsProblem?: string;
}

export async function readStatus(client: Client, { resolved }: Configuration): Promise<Status> {
  const { name } = resolved.slot;
  const publication = resolved.publication.name;
  const server = await readServer(client);
  const slot = await readSlot(client, name, server);
  const state = (await readSlotStates(client)).find((one) => one.name === name);
  const published = await readPublication(client, publication, server);
  const reason = slot && invalidation(slot);
  const foreign = slot && (slot.plugin !== 'pgoutput' || slot.database !== server.database);
  const broken = !slot
    ? `the slot '${name}' does not exist: walwatch setup creates it`
    : reason !== undefined
      ? `the slot is lost: ${reason}`
      : foreign
        ? `the slot belongs to another database or plugin; walwatch needs pgoutput and the database '${server.database}'`
        : !published
          ? `the publication '${publication}' is missing`
          : slot.confirmedFlushLsn === undefined
            ? (await slotBlocked(client, name)).message
            : undefined;
  const waiting = broken === undefined ? await readWaiting(client, name, publication) : null;
  const standbys = await readStandbySlots(client, name, server);
  const deadLetters = await countLetters(client, name);
  const failing = state?.activePid == null ? null : await readHoldingNote(client, name);
  const health = judgeHealth({
    broken,
    activePid: state?.activePid ?? null,
    silentSeconds: state?.silentSeconds ?? null,
    walStatus: state?.walStatus ?? null,
    retainedBytes: state?.retainedBytes ?? 0,
    limitBytes: server.maxSlotWalKeepSize,
    retainedWalWarning: resolved.retainedWalWarning,
    waitingSeconds: waiting?.seconds ?? 0,
    idleTimeoutSeconds: state?.idleTimeoutSeconds ?? null,
    standbysBehind: standbysBehind(name, standbys).map(({ message }) => message),
    deadLetters: deadLetters.unknown ?? deadLetters.of.reduce((sum, { count }) => sum + count, 0),
    waitingUnknown: waiting?.unknown,
    failing,
  });
  return {
    slot: name,
    publication,
    ...health,
    ...position(state),
    lagSeconds: waiting?.seconds ?? null,
    limitBytes: server.maxSlotWalKeepSize ?? null,
    waiting: waiting && { ...waiting, events: waiting.events.slice(0, mostEvents) },
    deadLetters,
    failing,
  };
}

async function readHoldingNote(client: Client, slot: string): Promise<HoldingNote | null> {
  const { rows } = await client.query<{ name: string }>(
    `select application_name as name from pg_catalog.pg_stat_activity
     where datname = pg_catalog.current_database() and application_name like 'walwatch/%'`,
  );
  return rows.map(({ name }) => parseControlName(slot, name)).find((note) => note !== undefined) ?? null;
}

/** How many waiting events, and how many recent ones, are listed. */
export const mostEvents = 5;

function position(state: SlotState | undefined) {
  return {
    activePid: state?.activePid ?? null,
    application: state?.application ?? null,
    address: state?.address ?? null,
    lastReply: state?.lastReply ?? null,
    confirmedLsn: state?.confirmedLsn ?? null,
    currentLsn: state?.currentLsn ?? null,
    lagBytes: state?.lagBytes ?? null,
    retainedBytes: state?.retainedBytes ?? null,
    safeBytes: state?.safeBytes ?? null,
    walStatus: state?.walStatus ?? null,
    inactiveSince: state?.inactiveSince ?? null,
    idleTimeoutSeconds: state?.idleTimeoutSeconds ?? null,
    spilledTransactions: state?.spilledTransactions ?? 0,
    spilledBytes: state?.spilledBytes ?? 0,
  };
}
