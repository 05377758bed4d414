-- 3 of 4: the publication, which says of which tables changes are sent.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f publication.sql
--
-- Replace: accounts_worker (the publication), public.users and public.packages (the watched tables).
-- Run by the owner of the tables, with CREATE on the database. Can be run again: it then sets what is written here.
--
-- It must exist BEFORE the slot, and as long as the slot. Never drop it to make it anew: changes from a time without it
-- can not be decoded (PostgreSQL 14 to 17 refuse, 18 skips them), and walwatch stops with PUBLICATION_LOST.
-- Every table needs a replica identity, that is at least a primary key. Without one, PostgreSQL refuses the
-- application's own UPDATE and DELETE as soon as the table is published.

BEGIN;
-- Names without a schema are PostgreSQL's own, whatever somebody may have put into the schema public.
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '2s';

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'accounts_worker') THEN
    CREATE PUBLICATION accounts_worker;
  END IF;
END
$$;

-- All tables that some watcher names. A table that is dropped and made anew falls out: add it in the same migration.
-- In a rolling deploy, add first (ADD TABLE), and remove once no old worker is left (DROP TABLE).
ALTER PUBLICATION accounts_worker SET TABLE public.users, public.packages;

-- Only what is watched: 'truncate' belongs in the list if there is a 'truncated' watcher.
-- The last option: changes of partitions are sent under the name of the table that you watch.
ALTER PUBLICATION accounts_worker SET (publish = 'insert, update, delete', publish_via_partition_root = true);

SELECT pubname, schemaname, tablename FROM pg_publication_tables WHERE pubname = 'accounts_worker' ORDER BY 2, 3;

COMMIT;
