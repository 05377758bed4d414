-- 1 of 4: the role that a worker connects as, with no more rights than it needs.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f role.sql
--
-- Replace: walwatch (the role), accounts (the database), public.users and public.packages (what your handlers read).
-- Run by a superuser; since PostgreSQL 16 a role with CREATEROLE and REPLICATION will do. Can be run again.
-- Amazon RDS has no REPLICATION for you to give: leave it out below, and GRANT rds_replication TO walwatch;
--
-- This is for a worker with manage: 'verify', for which a DBA makes publication and slot (the next files).
-- manage: 'create' needs more: CREATE on the database, and a role that owns the watched tables.

-- Names without a schema are PostgreSQL's own, whatever somebody may have put into the schema public.
SET search_path = pg_catalog, pg_temp;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'walwatch') THEN
    CREATE ROLE walwatch;
  END IF;
END
$$;

-- REPLICATION lets a role read the changes of every table, whatever may be granted on it, and copy the whole server
-- where pg_hba.conf has a line for the database "replication". A worker needs no such line: its sessions match the
-- ordinary lines, like this one:
--   hostssl  accounts  walwatch  10.0.0.0/8  scram-sha-256
ALTER ROLE walwatch LOGIN REPLICATION;

-- The password: in psql  \password walwatch  so that it is in no file and in no log.

GRANT CONNECT ON DATABASE accounts TO walwatch;

-- walwatch reads watched tables only for subscriptions with the option existing, for which columns suffice:
-- GRANT SELECT (id, email) ON public.users TO walwatch. All other values come from the WAL. Your handlers often read tables, too.
GRANT USAGE ON SCHEMA public TO walwatch;
GRANT SELECT ON public.users, public.packages TO walwatch;

-- Until PostgreSQL 14, and in databases that come from it, every role may create in the schema public: also functions and
-- operators that are then run in the place of others. Roles of yours that make tables there, and do not own the schema,
-- need it: GRANT CREATE ON SCHEMA public TO …;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- Optional, for handlers of onMessage(): every role that may connect can write such messages, and nothing tells who did. This
-- leaves it to your application (here: accounts_app) and to walwatch, which writes some of its own. As a superuser, in each
-- watched database, and again after a dump was restored.
-- DO $$ DECLARE f pg_catalog.regprocedure; BEGIN
--   FOR f IN SELECT oid FROM pg_catalog.pg_proc WHERE proname OPERATOR(pg_catalog.=) 'pg_logical_emit_message' LOOP
--     EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
--     EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO walwatch, accounts_app', f);
--   END LOOP;
-- END $$;

RESET search_path;
