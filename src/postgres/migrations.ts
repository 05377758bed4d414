/**
 * The SQL that makes our own tables. It is code, not files, so that it is in what a bundler makes of an application.
 * `sql/migrations` has the same texts for those who run them by hand: test/unit/postgres/migrations.test.ts compares them, and
 * writes them when it is run with `-u`.
 */
import type { OwnTable } from './own-tables.ts';

/** The schema, and what every one of the tables is protected by. */
const schemaFor = (
  table: OwnTable,
): string => `-- walwatch runs this by itself when it first needs the table and may (manage: 'create'); else the owner of the database does.
-- Not with IF NOT EXISTS, which wants CREATE on the database even if the schema is there.
DO $$ BEGIN IF pg_catalog.to_regnamespace('walwatch') IS NULL THEN CREATE SCHEMA walwatch; END IF; END $$;

-- Refuses a schema or table that a stranger made first, to have their code run by those who use it. Here and below everything
-- has its schema: this may run in a session, and a transaction, with any search path.
DO $$
DECLARE
  path pg_catalog.text := pg_catalog.current_setting('search_path');
  strangers pg_catalog.text;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  SELECT string_agg(format('%s belongs to the role %L', made.what, r.rolname), ', ') INTO strangers
  FROM (SELECT 'the schema walwatch', nspowner FROM pg_namespace WHERE nspname = 'walwatch'
        UNION ALL
        SELECT 'walwatch.${table}', c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'walwatch' AND c.relname = '${table}') made(what, owner)
  JOIN pg_roles r ON r.oid = made.owner
  WHERE NOT r.rolsuper AND r.rolname NOT IN (current_user, 'pg_database_owner')
    AND NOT EXISTS (SELECT FROM pg_roles o WHERE pg_has_role(r.oid, o.oid, 'member')
                    AND (o.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
                         OR o.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())))
    AND (NOT pg_has_role(r.oid, 'member') OR EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper));
  IF strangers IS NOT NULL THEN
    RAISE EXCEPTION 'walwatch.${table} is not made: %', strangers
      USING HINT = 'If it is the role of your worker, run this as that role. Otherwise look what is there, then rename or drop it.';
  END IF;
  PERFORM pg_catalog.set_config('search_path', path, true);
END
$$;`;

export const migrations = {
  '001_dead_letters': `-- Where events go that their handlers could not handle: onError: { attempts: 5, then: 'deadLetter' }.
${schemaFor('dead_letters')}

CREATE TABLE IF NOT EXISTS walwatch.dead_letters (
  id           pg_catalog.int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slot         pg_catalog.text NOT NULL,
  subscription pg_catalog.text NOT NULL,
  watcher      pg_catalog.text NOT NULL,
  event_id     pg_catalog.text NOT NULL,
  -- Names and PostgreSQL's texts of the event's columns; of a logical message its prefix and content.
  event        pg_catalog.jsonb NOT NULL,
  -- What else the handler was told: type, schema, table, previous values, position.
  context      pg_catalog.jsonb NOT NULL,
  attempts     pg_catalog.int4 NOT NULL,
  error        pg_catalog.text NOT NULL,
  failed_at    pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);

-- An event that comes again after a crash does not become a second letter; two watchers of one subscription have one each.
CREATE UNIQUE INDEX IF NOT EXISTS dead_letters_delivery ON walwatch.dead_letters (slot, subscription, event_id, watcher);
-- Of an earlier version.
ALTER TABLE walwatch.dead_letters DROP CONSTRAINT IF EXISTS dead_letters_slot_subscription_event_id_key;

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE, DELETE ON walwatch.dead_letters TO walwatch;
`,

  '002_positions': `-- How far each subscription with transaction: true has come: its writes and this position commit together.
${schemaFor('positions')}

CREATE TABLE IF NOT EXISTS walwatch.positions (
  slot              pg_catalog.text NOT NULL,
  subscription      pg_catalog.text NOT NULL,
  -- Positions of another cluster, such as one that was restored from a dump, say nothing about this one.
  system_identifier pg_catalog.text NOT NULL,
  commit_lsn        pg_catalog.pg_lsn NOT NULL,
  ordinal           pg_catalog.int4 NOT NULL,
  PRIMARY KEY (slot, subscription)
);

-- Positions beyond the point where a standby was promoted say nothing either. NULL: written before this column was added.
ALTER TABLE walwatch.positions ADD COLUMN IF NOT EXISTS timeline pg_catalog.int8;

-- A subscription to a list of watchers may be given one change several times: by which of them it was handled. NULL: by all.
ALTER TABLE walwatch.positions ADD COLUMN IF NOT EXISTS watchers pg_catalog.text[];

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE ON walwatch.positions TO walwatch;
`,

  '003_existing': `-- How far each subscription with \`existing\` has read the rows that were in a table before its first start.
${schemaFor('existing')}

CREATE TABLE IF NOT EXISTS walwatch.existing (
  slot              pg_catalog.text NOT NULL,
  subscription      pg_catalog.text NOT NULL,
  table_name        pg_catalog.text NOT NULL,
  version           pg_catalog.text NOT NULL,
  -- Counts the times that this version was read from the start: again after a gap.
  run               pg_catalog.int4 NOT NULL,
  state             pg_catalog.text NOT NULL,
  -- Where it was read: another cluster, or another slot, is a gap.
  system_identifier pg_catalog.text NOT NULL,
  slot_lsn          pg_catalog.text NOT NULL,
  -- The worker that reads, and the one before it: a worker that was thought dead must not move this.
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
-- GRANT SELECT, INSERT, UPDATE, DELETE ON walwatch.existing TO walwatch;
`,

  '004_attempts': `-- Attempts of handlers that are on their way after a crash: a handler that ends its process is found here by the next one.
-- Only for subscriptions with onError: { attempts, … }, and only for events that an earlier process may have begun.
${schemaFor('attempts')}

CREATE TABLE IF NOT EXISTS walwatch.attempts (
  slot         pg_catalog.text NOT NULL,
  -- Both empty: a worker runs. It removes this row when it stops, so that one that is left tells of a crash.
  subscription pg_catalog.text NOT NULL,
  event_id     pg_catalog.text NOT NULL,
  attempt      pg_catalog.int4 NOT NULL,
  PRIMARY KEY (slot, subscription, event_id)
);

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE, DELETE ON walwatch.attempts TO walwatch;
`,
} satisfies Record<`${string}_${OwnTable}`, string>;
