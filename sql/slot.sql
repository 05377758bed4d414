-- 4 of 4: the replication slot. It stores the worker's position.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f slot.sql
--
-- Replace: accounts_worker (the slot). Run in the watched database, after publication.sql, by a superuser or a role with
-- REPLICATION. Can be run again: an existing slot does not change.
--
-- From now on the server keeps all WAL that the worker has not acknowledged, even while no worker runs, until the disk
-- is full. So create the slot shortly before the worker starts, monitor lag.sql, and drop the slot (teardown.sql) when you
-- do not need it any more. With a limit, the slot is lost before the disk is full:
--   ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();
-- Each slot counts towards max_replication_slots, each running worker towards max_wal_senders.

-- Names without a schema are PostgreSQL's own, whatever the schema public contains.
SET search_path = pg_catalog, pg_temp;

-- This waits for all open transactions that write, including prepared ones and those in other databases.
-- To list them: SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL; SELECT * FROM pg_prepared_xacts;
SET lock_timeout = '10s';

SELECT pg_create_logical_replication_slot('accounts_worker', 'pgoutput') AS created
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'accounts_worker');

RESET lock_timeout;

SELECT slot_name, plugin, database, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'accounts_worker';

RESET search_path;
