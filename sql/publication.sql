-- 3 of 4: the publication. It lists the tables whose changes are sent.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f publication.sql
--
-- Replace: accounts_worker (the publication), public.users and public.packages (the watched tables).
-- Run by the owner of the tables, with CREATE on the database. Can be run again: it then applies the lists in this file.
--
-- Create it BEFORE the slot, and keep it for as long as the slot. PostgreSQL cannot decode changes that are written without
-- it: 14 to 17 fail, and walwatch stops with PUBLICATION_LOST; 18 skips the changes. So never drop it to create it again.
-- Every table needs a replica identity, which by default is its primary key. Without one, PostgreSQL refuses the
-- application's own UPDATE and DELETE as soon as the table is published.

BEGIN;
-- Names without a schema are PostgreSQL's own, whatever the schema public contains.
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '2s';

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'accounts_worker') THEN
    CREATE PUBLICATION accounts_worker;
  END IF;
END
$$;

-- All watched tables. A table leaves the list when it is dropped. A migration that creates it again must add it, too.
-- In a rolling deploy, add tables first (ADD TABLE), and remove tables after the last old worker has stopped (DROP TABLE).
ALTER PUBLICATION accounts_worker SET TABLE public.users, public.packages;

-- Only the operations that have watchers: add 'truncate' if there is a 'truncated' watcher.
-- The last option sends changes of partitions under the name of the watched table.
ALTER PUBLICATION accounts_worker SET (publish = 'insert, update, delete', publish_via_partition_root = true);

SELECT pubname, schemaname, tablename FROM pg_publication_tables WHERE pubname = 'accounts_worker' ORDER BY 2, 3;

COMMIT;
