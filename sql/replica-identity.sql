-- 2 of 4: the replica identity. It decides which columns of the old row PostgreSQL writes into the WAL for an update or delete.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f replica-identity.sql
--
-- Replace: public.users. Run by the owner of the table. Can be run again.
-- Run it before you create the slot: WAL that was written before has only the columns of the earlier replica identity.
--
-- The primary key (DEFAULT) is enough for 'inserted', for 'updated' without triggerColumns, and for 'deleted' without
-- extraColumns. The old values of other columns are needed
--   - by triggerColumns, which compares them with the new ones,
--   - by the extraColumns of 'deleted', because a deleted row has no new ones,
--   - by filters: to tell the subscribers of the old value that a row has left their filter (optional: walwatch warns).

-- Names without a schema are PostgreSQL's own, whatever the schema public contains.
SET search_path = pg_catalog, pg_temp;

-- Each ALTER TABLE takes an exclusive lock for a moment. If it has to wait for long, it fails instead of blocking the application.
SET lock_timeout = '2s';

-- PostgreSQL writes the whole old row: more WAL for each update and delete.
ALTER TABLE public.users REPLICA IDENTITY FULL;

-- Less WAL, if all needed columns are NOT NULL: a unique index of exactly these columns, including the primary key.
--   CREATE UNIQUE INDEX CONCURRENTLY users_identity ON public.users (id, email);
--   ALTER TABLE public.users REPLICA IDENTITY USING INDEX users_identity;

-- Back to the primary key alone:
--   ALTER TABLE public.users REPLICA IDENTITY DEFAULT;

RESET lock_timeout;

-- Shows the current replica identities.
SELECT c.oid::regclass AS table_name,
       CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'f' THEN 'full' WHEN 'i' THEN 'index' ELSE 'nothing' END AS replica_identity
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'
ORDER BY 1;

RESET search_path;
