-- How far each subscription with transaction: true has come: its writes and this position commit together.
-- walwatch runs this by itself when it first needs the table and may (manage: 'create'); else the owner of the database does.
CREATE SCHEMA IF NOT EXISTS walwatch;

CREATE TABLE IF NOT EXISTS walwatch.positions (
  slot              text NOT NULL,
  subscription      text NOT NULL,
  -- Positions of another cluster, such as one that was restored from a dump, say nothing about this one.
  system_identifier text NOT NULL,
  commit_lsn        pg_lsn NOT NULL,
  ordinal           integer NOT NULL,
  PRIMARY KEY (slot, subscription)
);

-- Positions beyond the point where a standby was promoted say nothing either. NULL: written before this column was added.
ALTER TABLE walwatch.positions ADD COLUMN IF NOT EXISTS timeline bigint;

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE ON walwatch.positions TO walwatch;
