-- 1 of 4: the role of the worker, with only the rights that it needs.
--
--   psql -v ON_ERROR_STOP=1 -d accounts -f role.sql
--
-- Replace: walwatch (the role), accounts (the database), public.users and public.packages (the tables that your handlers read).
-- Run by a superuser. From PostgreSQL 16 on, a role with CREATEROLE and REPLICATION is enough. Can be run again.
-- Amazon RDS does not let you grant REPLICATION: remove it below, and run GRANT rds_replication TO walwatch;
--
-- These rights are for a worker with manage: 'verify'. A DBA creates its publication and slot (the next files).
-- manage: 'create' needs more: CREATE on the database, and a role that owns the watched tables.

-- Names without a schema are PostgreSQL's own, whatever the schema public contains.
SET search_path = pg_catalog, pg_temp;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'walwatch') THEN
    CREATE ROLE walwatch;
  END IF;
END
$$;

-- REPLICATION lets a role read the changes of every table, whatever its other rights are, and copy the whole server if
-- pg_hba.conf has a line for the database "replication". A worker does not need such a line: its sessions match
-- ordinary lines, such as:
--   hostssl  accounts  walwatch  10.0.0.0/8  scram-sha-256
ALTER ROLE walwatch LOGIN REPLICATION;

-- Set the password in psql with  \password walwatch  so that it gets into no file and no log.

GRANT CONNECT ON DATABASE accounts TO walwatch;

-- walwatch reads watched tables only for subscriptions with the option existing, for which columns suffice:
-- GRANT SELECT (id, email) ON public.users TO walwatch. All other values come from the WAL. Your handlers often read tables, too.
GRANT USAGE ON SCHEMA public TO walwatch;
GRANT SELECT ON public.users, public.packages TO walwatch;

-- The rights on the tables of walwatch itself, for dead letters, transaction: true, attempts and existing, are at the end of each
-- file in migrations/.

-- In PostgreSQL 14 and older, and in databases upgraded from it, every role may create objects in the schema public. They
-- include functions and operators that could then run instead of others. Roles of your application that create tables there
-- and do not own the schema need: GRANT CREATE ON SCHEMA public TO …;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- Optional, for handlers of onMessage(): every role that may connect can write such messages, and walwatch cannot tell who
-- wrote one. This allows it only for your application (here: accounts_app) and for walwatch, which writes messages as well.
-- Run it as a superuser, in each watched database, and again after a dump was restored.
-- DO $$ DECLARE f pg_catalog.regprocedure; BEGIN
--   FOR f IN SELECT oid FROM pg_catalog.pg_proc WHERE proname OPERATOR(pg_catalog.=) 'pg_logical_emit_message' LOOP
--     EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
--     EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO walwatch, accounts_app', f);
--   END LOOP;
-- END $$;

RESET search_path;
