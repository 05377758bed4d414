-- Attempts that have begun. After a crash, the next process finds here which handler ended the process.
-- Only for subscriptions with onError: { attempts, … }, and only for events that an earlier process may have begun.
-- walwatch runs this file when it first needs the table and may create it (manage: 'create'). Otherwise the owner of the database runs it.
-- Not CREATE SCHEMA IF NOT EXISTS: that needs CREATE on the database even if the schema exists.
DO $$ BEGIN IF pg_catalog.to_regnamespace('walwatch') IS NULL THEN CREATE SCHEMA walwatch; END IF; END $$;

-- Refuses a schema or table of an untrusted role: it could contain code that runs with the rights of whoever uses the table.
-- Here and below every name includes its schema, because this may run with any search path.
DO $$
DECLARE
  path pg_catalog.text := pg_catalog.current_setting('search_path');
  strangers pg_catalog.text;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  SELECT string_agg(format('%s belongs to the role %L', made.what, r.rolname), ', ') INTO strangers
  FROM (SELECT 'the schema walwatch', nspowner FROM pg_namespace WHERE nspname = 'walwatch'
        UNION ALL
        SELECT 'walwatch.attempts', c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'walwatch' AND c.relname = 'attempts') made(what, owner)
  JOIN pg_roles r ON r.oid = made.owner
  WHERE NOT r.rolsuper AND r.rolname NOT IN (current_user, 'pg_database_owner')
    AND NOT EXISTS (SELECT FROM pg_roles o WHERE pg_has_role(r.oid, o.oid, 'member')
                    AND (o.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
                         OR o.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())))
    AND (NOT pg_has_role(r.oid, 'member') OR EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper));
  IF strangers IS NOT NULL THEN
    RAISE EXCEPTION 'walwatch.attempts is not made: %', strangers
      USING HINT = 'If it is the role of your worker, run this as that role. Otherwise inspect the objects, then rename or drop them.';
  END IF;
  PERFORM pg_catalog.set_config('search_path', path, true);
END
$$;

CREATE TABLE IF NOT EXISTS walwatch.attempts (
  slot         pg_catalog.text NOT NULL,
  -- Both are empty in the row of a running worker. It deletes that row when it stops, so a row that remains shows a crash.
  subscription pg_catalog.text NOT NULL,
  event_id     pg_catalog.text NOT NULL,
  attempt      pg_catalog.int4 NOT NULL,
  PRIMARY KEY (slot, subscription, event_id)
);

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE, DELETE ON walwatch.attempts TO walwatch;
