-- 2 of 4: how much of the old row PostgreSQL writes into the WAL at an update or delete.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f replica-identity.sql
--
-- Replace: public.users. Run by the owner of the table. Can be run again.
-- Before the slot is made: what was written earlier holds no more than the identity of that time.
--
-- The primary key (DEFAULT) is enough for 'inserted', for 'updated' without triggerColumns, and for 'deleted' without
-- extraColumns. The old values of other columns are needed
--   - by triggerColumns, which compare them with the new ones,
--   - by the extraColumns of 'deleted', because a deleted row has no others,
--   - to tell those who subscribed by an association that a row has left it (optional: walwatch warns).

-- Names without a schema are PostgreSQL's own, whatever somebody may have put into the schema public.
SET search_path = pg_catalog, pg_temp;

-- Each ALTER TABLE takes an exclusive lock, for a moment. Rather fail than let the application queue up behind it.
SET lock_timeout = '2s';

-- The old row is written whole: more WAL for each update and delete.
ALTER TABLE public.users REPLICA IDENTITY FULL;

-- Less WAL, where all that is needed is NOT NULL: a unique index of just these columns, the primary key among them.
--   CREATE UNIQUE INDEX CONCURRENTLY users_identity ON public.users (id, email);
--   ALTER TABLE public.users REPLICA IDENTITY USING INDEX users_identity;

-- Back to the primary key alone:
--   ALTER TABLE public.users REPLICA IDENTITY DEFAULT;

RESET lock_timeout;

-- What the tables have now.
SELECT c.oid::regclass AS table_name,
       CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'f' THEN 'full' WHEN 'i' THEN 'index' ELSE 'nothing' END AS replica_identity
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'
ORDER BY 1;

RESET search_path;
