import type { Client } from 'pg';

/** The state of a slot. */
export interface SlotState {
  readonly name: string;
  readonly temporary: boolean;
  readonly activePid: number | null;
  /** The reader's application name, if this role can see it. */
  readonly application: string | null;
  readonly address: string | null;
  /** When the reader last sent its position. */
  readonly lastReply: Date | null;
  /** Seconds since then. The reader's clock set the time, the server's clock is compared with it. */
  readonly silentSeconds: number | null;
  readonly walStatus: string | null;
  readonly confirmedLsn: string | null;
  readonly currentLsn: string;
  /** Bytes of WAL after the acknowledged position. */
  readonly lagBytes: number | null;
  /** Bytes of WAL that the server keeps for it. */
  readonly retainedBytes: number | null;
  /** Bytes that may still be written before it is lost. */
  readonly safeBytes: number | null;
  /** Since when it has had no reader (PostgreSQL 17+). */
  readonly inactiveSince: Date | null;
  /** Seconds after which the server invalidates a slot without a reader (PostgreSQL 18+). */
  readonly idleTimeoutSeconds: number | null;
  /** Transactions that did not fit logical_decoding_work_mem and were written to disk while they were decoded. */
  readonly spilledTransactions: number;
  readonly spilledBytes: number;
}

/** Reads all slots of the server: they share its disk. */
export async function readSlotStates(client: Client): Promise<SlotState[]> {
  const { rows } = await client.query(
    `select s.slot_name as name, s.temporary, s.active_pid as "activePid", r.application_name as application, pg_catalog.host(r.client_addr) as address,
            (extract(epoch from r.reply_time) * 1000)::float8 as "lastReply",
            extract(epoch from pg_catalog.clock_timestamp() - r.reply_time)::float8 as "silentSeconds", s.wal_status as "walStatus",
            s.confirmed_flush_lsn::text as "confirmedLsn", now.lsn::text as "currentLsn",
            pg_catalog.pg_wal_lsn_diff(now.lsn, s.confirmed_flush_lsn)::float8 as "lagBytes",
            pg_catalog.pg_wal_lsn_diff(now.lsn, s.restart_lsn)::float8 as "retainedBytes",
            s.safe_wal_size::float8 as "safeBytes",
            -- columns and settings that do not exist in all versions
            (extract(epoch from (pg_catalog.to_jsonb(s) ->> 'inactive_since')::timestamptz) * 1000)::float8 as "inactiveSince",
            (select nullif(extract(epoch from pg_catalog.current_setting('idle_replication_slot_timeout', true)::interval), 0)::float8) as "idleTimeoutSeconds",
            coalesce(d.spill_txns, 0)::float8 as "spilledTransactions", coalesce(d.spill_bytes, 0)::float8 as "spilledBytes"
     from (select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end as lsn) now,
          pg_catalog.pg_replication_slots s left join pg_catalog.pg_stat_replication r on r.pid = s.active_pid
          left join pg_catalog.pg_stat_replication_slots d on d.slot_name = s.slot_name
     order by s.slot_name`,
  );
  return rows.map((row) => ({
    ...row,
    lastReply: row.lastReply === null ? null : new Date(row.lastReply),
    inactiveSince: row.inactiveSince === null ? null : new Date(row.inactiveSince),
    lagBytes: row.lagBytes === null ? null : Math.max(0, row.lagBytes),
    retainedBytes: row.retainedBytes === null ? null : Math.max(0, row.retainedBytes),
  }));
}
