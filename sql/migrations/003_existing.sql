-- How far each subscription with `existing` has read the rows that were in a table before its first start.
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
        SELECT 'walwatch.existing', c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'walwatch' AND c.relname = 'existing') made(what, owner)
  JOIN pg_roles r ON r.oid = made.owner
  WHERE NOT r.rolsuper AND r.rolname NOT IN (current_user, 'pg_database_owner')
    AND NOT EXISTS (SELECT FROM pg_roles o WHERE pg_has_role(r.oid, o.oid, 'member')
                    AND (o.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
                         OR o.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())))
    AND (NOT pg_has_role(r.oid, 'member') OR EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper));
  IF strangers IS NOT NULL THEN
    RAISE EXCEPTION 'walwatch.existing is not made: %', strangers
      USING HINT = 'If it is the role of your worker, run this as that role. Otherwise inspect the objects, then rename or drop them.';
  END IF;
  PERFORM pg_catalog.set_config('search_path', path, true);
END
$$;

CREATE TABLE IF NOT EXISTS walwatch.existing (
  slot              pg_catalog.text NOT NULL,
  subscription      pg_catalog.text NOT NULL,
  table_name        pg_catalog.text NOT NULL,
  version           pg_catalog.text NOT NULL,
  -- Counts the times that this version was read from the start: again after a gap. Then the last run of each version, so that a version
  -- that is used again gets new event ids.
  run               pg_catalog.int4 NOT NULL,
  runs              pg_catalog.jsonb NOT NULL DEFAULT '[]',
  state             pg_catalog.text NOT NULL,
  -- Where it was read: another cluster, or another slot, is a gap.
  system_identifier pg_catalog.text NOT NULL,
  slot_lsn          pg_catalog.text NOT NULL,
  -- The worker that reads: one that was thought dead must not move this. Empty: a worker without the subscription has used the slot.
  -- Then the worker that had the slot before, which may be of an older version, and note nothing here.
  owner             pg_catalog.text NOT NULL,
  previous_owner    pg_catalog.text NOT NULL,
  -- The table's OID, and columns, types and collations of its key: other ones restart the table.
  key               pg_catalog.jsonb NOT NULL,
  -- Keys as texts: where reading ends, the last key that was handled, those beyond it that were handled, and those to be read again.
  last_key          pg_catalog.jsonb,
  cursor            pg_catalog.jsonb,
  ahead             pg_catalog.jsonb NOT NULL DEFAULT '[]',
  reread            pg_catalog.jsonb NOT NULL DEFAULT '[]',
  -- The last change of a key that the list takes account of: position and place in its transaction.
  reread_up_to      pg_catalog.text NOT NULL DEFAULT '',
  rows              pg_catalog.int8 NOT NULL DEFAULT 0,
  updated_at        pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (slot, subscription, table_name)
);

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE ON walwatch.existing TO walwatch;
