-- Where events go that their handlers could not handle: onError: { attempts: 5, then: 'deadLetter' }.
-- walwatch runs this by itself when it first needs the table and may (manage: 'create'); else the owner of the database does.
CREATE SCHEMA IF NOT EXISTS walwatch;

CREATE TABLE IF NOT EXISTS walwatch.dead_letters (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slot         text NOT NULL,
  subscription text NOT NULL,
  watcher      text NOT NULL,
  event_id     text NOT NULL,
  -- Names and PostgreSQL's texts of the event's columns; of a logical message its prefix and content.
  event        jsonb NOT NULL,
  -- What else the handler was told: type, schema, table, previous values, position.
  context      jsonb NOT NULL,
  attempts     integer NOT NULL,
  error        text NOT NULL,
  failed_at    timestamptz NOT NULL DEFAULT now(),
  -- An event that comes again after a crash does not become a second letter.
  UNIQUE (slot, subscription, event_id)
);

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE, DELETE ON walwatch.dead_letters TO walwatch;
