import type { Client } from 'pg';
import { type Server, since } from '../postgres/server.ts';
import { inOrder } from '../postgres/round-trip.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import { slotBlocked } from './slot-blocked.ts';

/** A slot as it is in the catalog. https://www.postgresql.org/docs/current/view-pg-replication-slots.html */
export interface Slot {
  readonly plugin: string | null;
  readonly database: string | null;
  readonly activePid: number | undefined;
  readonly confirmedFlushLsn: string | undefined;
  readonly restartLsn: string | undefined;
  /** `lost` if WAL that the slot needs is gone. */
  readonly walStatus: string | null;
  readonly invalidationReason: string | undefined;
  /** Synchronized to standbys. */
  readonly failover: boolean;
  /** On a standby: a copy of the primary's slot. It cannot be read before the promotion. */
  readonly synced: boolean;
  /** Sends prepared transactions at PREPARE. */
  readonly twoPhase: boolean;
}

/** Undefined: it does not exist. */
export async function readSlot(client: Client, name: string, server: Pick<Server, 'major'>): Promise<Slot | undefined> {
  const reason = server.major >= since.invalidationReason ? 'invalidation_reason' : 'null';
  const { rows } = await client.query(
    `select ${server.major >= since.failover ? 'failover, synced' : 'false as failover, false as synced'}, two_phase, plugin, database, active_pid, confirmed_flush_lsn::text, restart_lsn::text, wal_status, ${reason} as invalidation_reason
     from pg_catalog.pg_replication_slots where slot_name = $1`,
    [name],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    plugin: row.plugin,
    database: row.database,
    activePid: row.active_pid ?? undefined,
    confirmedFlushLsn: row.confirmed_flush_lsn ?? undefined,
    restartLsn: row.restart_lsn ?? undefined,
    walStatus: row.wal_status,
    invalidationReason: row.invalidation_reason ?? undefined,
    failover: row.failover,
    synced: row.synced,
    twoPhase: row.two_phase,
  };
}

/** Problems with a slot that someone else created. */
export function slotIssues(
  { name, failover }: { readonly name: string; readonly failover: boolean },
  slot: Slot,
  server: Pick<Server, 'database' | 'major'>,
): ConfigurationIssue[] {
  const solution = `Choose another name. Or drop it, if it is not needed: SELECT pg_catalog.pg_drop_replication_slot('${name}');`;
  if (slot.plugin === null) return [{ message: `'${name}' is a physical replication slot`, solution }];
  if (slot.plugin !== 'pgoutput')
    return [{ message: `the slot '${name}' uses the plugin ${slot.plugin}, not pgoutput`, solution }];
  if (slot.database !== server.database) {
    return [
      { message: `the slot '${name}' belongs to the database '${slot.database}', not '${server.database}'`, solution },
    ];
  }
  const alter = (option: string) =>
    `Stop its workers, and on a replication connection (psql "dbname=${server.database} replication=database") run: ALTER_REPLICATION_SLOT ${name} (${option});`;
  const issues: ConfigurationIssue[] = [];
  if (failover && !slot.failover) {
    issues.push({ message: `the slot '${name}' was created without failover`, solution: alter('FAILOVER true') });
  }
  if (slot.twoPhase) {
    issues.push({
      message: `the slot '${name}' was created with two_phase: it sends prepared transactions before their commit, which walwatch does not support`,
      solution:
        server.major >= since.alterTwoPhase
          ? alter('TWO_PHASE false')
          : `Re-create it. Changes that were not handled yet are lost: SELECT pg_catalog.pg_drop_replication_slot('${name}'); ${slotCreation(name, failover)};`,
    });
  }
  return issues;
}

/** Why a slot can no longer be used. Undefined: it can. */
export function invalidation(slot: Slot): string | undefined {
  if (slot.invalidationReason !== undefined) return slot.invalidationReason;
  if (slot.walStatus === 'lost') return 'wal_removed';
  if (slot.restartLsn === undefined && slot.confirmedFlushLsn !== undefined) return 'it has no restart_lsn';
  return undefined;
}

/** `byHand`: the statement that creates the slot, if walwatch may not create it. */
export function slotLost(name: string, reason: string, from: string | undefined, byHand?: string): WatchError {
  const again = byHand
    ? `${byHand}; The new slot begins there: changes written since ${from ?? 'that position'} are not sent.`
    : `and set slot: { name: '${name}', onLost: 'recreate' }, which creates a new one and emits 'gap'.`;
  return new WatchError('SLOT_LOST', `${reason}; changes after ${from ?? 'an unknown position'} are lost`, {
    solution: `Bring what depends on the events up to date by other means, then start again: SELECT pg_catalog.pg_drop_replication_slot('${name}'); (if it still exists) ${again}`,
  });
}

/** Milliseconds that the creation of a slot waits for transactions that write. */
export const creationTimeout = 10_000;

/** Milliseconds for the server to turn on logical decoding, which happens with its first logical slot (PostgreSQL 19). */
const switchingTimeout = 120_000;

/** The statement that creates a slot, to run by hand. */
export function slotCreation(name: string, failover: boolean): string {
  return `SELECT pg_catalog.pg_create_logical_replication_slot('${name}', 'pgoutput'${failover ? ', false, false, true' : ''})`;
}

/** @throws WatchError SLOT_BLOCKED, naming the transactions that it waits for */
export async function createSlot(
  client: Client,
  name: string,
  failover: boolean,
  server: Pick<Server, 'effectiveWalLevel'>,
): Promise<string> {
  const timeout = (server.effectiveWalLevel ?? 'logical') === 'logical' ? creationTimeout * 2 : switchingTimeout;
  try {
    const [, { rows }] = await inOrder([
      // Only lock_timeout limits the wait for transactions that write. statement_timeout is a safety net.
      client.query(`set lock_timeout = ${creationTimeout}; set statement_timeout = ${timeout}`),
      client.query(
        `select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput'${failover ? ', false, false, true' : ''})`,
        [name],
      ),
      client.query('reset lock_timeout; reset statement_timeout'),
    ]);
    return rows[0].lsn;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === sqlState.lockNotAvailable || code === sqlState.queryCanceled)
      throw await slotBlocked(client, name, error);
    throw error;
  }
}
