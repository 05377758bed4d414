-- Removes what role.sql, publication.sql and slot.sql created. Stop the workers first.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f teardown.sql
--
-- Replace: accounts_worker (slot and publication), walwatch (the role), accounts (the database), and the tables.
-- Run by a superuser, in the watched database. Can be run again. It does not change replica identities: see
-- replica-identity.sql.

-- One transaction: if a worker still has the slot, dropping the slot fails, and the publication must stay as well.
BEGIN;
-- Names without a schema are PostgreSQL's own, whatever the schema public contains.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The slot first: it keeps WAL, and it needs the publication as long as it exists.
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'accounts_worker';

DROP PUBLICATION IF EXISTS accounts_worker;

-- Drops the role, if no other worker uses it. DROP ROLE fails if the role has other rights or owns objects.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'walwatch') THEN
    REVOKE SELECT ON public.users, public.packages FROM walwatch;
    REVOKE USAGE ON SCHEMA public FROM walwatch;
    REVOKE CONNECT ON DATABASE accounts FROM walwatch;
    DROP ROLE walwatch;
  END IF;
END
$$;

COMMIT;
