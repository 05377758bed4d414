import type { Client } from 'pg';
import { type Server, since } from '../postgres/server.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import { type ConfigurationIssue, WatchError } from '../errors.ts';

/** A slot as the catalog has it. https://www.postgresql.org/docs/current/view-pg-replication-slots.html */
export interface Slot {
  readonly plugin: string | null;
  readonly database: string | null;
  readonly activePid: number | undefined;
  readonly confirmedFlushLsn: string | undefined;
  readonly restartLsn: string | undefined;
  /** `lost` when WAL that it needs is gone. */
  readonly walStatus: string | null;
  readonly invalidationReason: string | undefined;
  /** Synchronised to standbys. */
  readonly failover: boolean;
}

/** Undefined: there is none of this name. */
export async function readSlot(client: Client, name: string, server: Pick<Server, 'major'>): Promise<Slot | undefined> {
  const reason = server.major >= since.invalidationReason ? 'invalidation_reason' : 'null';
  const { rows } = await client.query(
    `select ${server.major >= since.failover ? 'failover' : 'false'} as failover, plugin, database, active_pid, confirmed_flush_lsn::text, restart_lsn::text, wal_status, ${reason} as invalidation_reason
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
  };
}

/** What is wrong with a slot that somebody else made. */
export function slotIssues(
  { name, failover }: { readonly name: string; readonly failover: boolean },
  slot: Slot,
  server: Pick<Server, 'database'>,
): ConfigurationIssue[] {
  const solution = `Choose another name; or, when nobody needs it: SELECT pg_drop_replication_slot('${name}');`;
  if (slot.plugin === null) return [{ message: `'${name}' is a physical replication slot`, solution }];
  if (slot.plugin !== 'pgoutput')
    return [{ message: `the slot '${name}' uses the plugin ${slot.plugin}, not pgoutput`, solution }];
  if (slot.database !== server.database) {
    return [
      { message: `the slot '${name}' belongs to the database '${slot.database}', not '${server.database}'`, solution },
    ];
  }
  if (failover && !slot.failover) {
    return [
      {
        message: `the slot '${name}' was made without failover`,
        solution: `Stop its workers, and on a replication connection (psql "dbname=${server.database} replication=database") run: ALTER_REPLICATION_SLOT ${name} (FAILOVER true);`,
      },
    ];
  }
  return [];
}

/** Why a slot cannot be used any more; undefined when it can. */
export function invalidation(slot: Slot): string | undefined {
  if (slot.invalidationReason !== undefined) return slot.invalidationReason;
  if (slot.walStatus === 'lost') return 'wal_removed';
  if (slot.restartLsn === undefined && slot.confirmedFlushLsn !== undefined) return 'it has no restart_lsn';
  return undefined;
}

export function slotLost(name: string, reason: string, from: string | undefined): WatchError {
  return new WatchError(
    'SLOT_LOST',
    `${reason}; changes after ${from ?? 'an unknown position'} can not be had any more`,
    {
      solution:
        `Bring what depends on the events up to date by other means, then start anew: SELECT pg_drop_replication_slot('${name}'); ` +
        `(if it still exists) and slot: { name: '${name}', onLost: 'recreate' }, which makes a new one and emits 'gap'.`,
    },
  );
}

/** Milliseconds that making a slot waits for transactions that are writing. */
const creationTimeout = 10_000;

/** The statement that makes a slot, for whoever runs it by hand. */
export function slotCreation(name: string, failover: boolean): string {
  return `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput'${failover ? ', false, false, true' : ''})`;
}

/** @throws WatchError SLOT_BLOCKED, naming who is waited for */
export async function createSlot(client: Client, name: string, failover: boolean): Promise<string> {
  // Only lock_timeout bounds the wait for transactions that write; statement_timeout is the net below it.
  await client.query(`set lock_timeout = ${creationTimeout}`);
  await client.query(`set statement_timeout = ${creationTimeout * 2}`);
  try {
    const { rows } = await client.query(
      `select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput'${failover ? ', false, false, true' : ''})`,
      [name],
    );
    return rows[0].lsn;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === sqlState.lockNotAvailable || code === sqlState.queryCanceled) throw await blocked(client, name, error);
    throw error;
  } finally {
    await client.query('reset lock_timeout; reset statement_timeout').catch(() => {}); // the connection may be what failed
  }
}

/** Without pg_read_all_stats a role does not see how long the sessions of other roles have been writing. */
async function blocked(client: Client, name: string, cause: unknown): Promise<WatchError> {
  const { rows } = await client.query<{ who: string; role: string; hidden: boolean }>(
    `select pg_catalog.format('pid %s (%s%s)', pid, coalesce(nullif(application_name, ''), usename), ', since ' || xact_start::timestamptz(0)::text) as who,
            current_user as role, xact_start is null as hidden
     from pg_catalog.pg_stat_activity where backend_xid is not null and pid <> pg_catalog.pg_backend_pid()
     union all
     select pg_catalog.format('prepared transaction %L', gid), current_user, false from pg_catalog.pg_prepared_xacts`,
  );
  const who = rows.map((row) => row.who).join(', ') || 'transactions that have ended since';
  const role = rows.find(({ hidden }) => hidden)?.role;
  const hidden = role === undefined ? '' : `; since when is hidden from role '${role}', which lacks pg_read_all_stats`;
  return new WatchError(
    'SLOT_BLOCKED',
    `making the slot '${name}' waits for transactions that are writing: ${who}${hidden}`,
    {
      solution:
        'walwatch tries again. End them: SELECT pg_terminate_backend(pid); which takes membership in their role, ' +
        'pg_signal_backend, or for a session of a superuser a superuser. A prepared one: ROLLBACK PREPARED.',
      cause,
    },
  );
}
