-- The lag of each slot, and the WAL and disk space that it costs. For psql and for monitoring. Every role may run it.
--
--   psql -d accounts -f lag.sql
--
-- lag_bytes        WAL from the acknowledged position to the end. It grows while a handler fails or hangs, while a
--                  transaction is open, and while no worker runs (active_pid is null).
-- retained_bytes   WAL that the server keeps on its disk for the slot.
-- wal_status       reserved, extended: all WAL is there. unreserved: the slot will soon be lost. lost: it is lost (SLOT_LOST).
-- safe_wal_size    bytes of WAL that can be written before the slot is lost. null: there is no max_slot_wal_keep_size, and
--                  the disk is the limit.

-- Every name includes its schema, so that nothing in the schema public can run instead.
SELECT s.slot_name,
       s.active_pid,
       s.confirmed_flush_lsn,
       pg_catalog.pg_wal_lsn_diff(now.lsn, s.confirmed_flush_lsn)::pg_catalog.int8 AS lag_bytes,
       pg_catalog.pg_wal_lsn_diff(now.lsn, s.restart_lsn)::pg_catalog.int8 AS retained_bytes,
       pg_catalog.pg_size_pretty(pg_catalog.pg_wal_lsn_diff(now.lsn, s.restart_lsn)) AS retained,
       s.wal_status,
       s.safe_wal_size
FROM pg_catalog.pg_replication_slots s,
     (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                  ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) now
WHERE s.slot_type OPERATOR(pg_catalog.=) 'logical' AND s.database OPERATOR(pg_catalog.=) pg_catalog.current_database()
ORDER BY retained_bytes DESC NULLS FIRST;
