-- 4 of 4: the replication slot, which remembers how far the worker has come.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f slot.sql
--
-- Replace: accounts_worker (the slot). Run in the watched database, after publication.sql, by a superuser or a role with
-- REPLICATION. Can be run again: a slot that exists is left alone.
--
-- From now on the server keeps all WAL that the worker has not acknowledged, also while no worker runs, until the disk
-- is full. So make it shortly before the worker starts, watch lag.sql, and drop it (teardown.sql) when it is not needed
-- any more. A limit loses the slot rather than the disk:
--   ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();
-- Each slot counts against max_replication_slots, each running worker against max_wal_senders.

-- Names without a schema are PostgreSQL's own, whatever somebody may have put into the schema public.
SET search_path = pg_catalog, pg_temp;

-- It waits for all transactions that are writing, prepared ones and those of other databases too.
-- Who they are: SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL; SELECT * FROM pg_prepared_xacts;
SET lock_timeout = '10s';

SELECT pg_create_logical_replication_slot('accounts_worker', 'pgoutput') AS created
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'accounts_worker');

RESET lock_timeout;

SELECT slot_name, plugin, database, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'accounts_worker';

RESET search_path;
