-- Attempts of handlers that are on their way after a crash: a handler that ends its process is found here by the next one.
-- Only for subscriptions with onError: { attempts, … }, and only for events that an earlier process may have begun.
-- walwatch runs this by itself when it first needs the table and may (manage: 'create'); else the owner of the database does.
CREATE SCHEMA IF NOT EXISTS walwatch;

CREATE TABLE IF NOT EXISTS walwatch.attempts (
  slot         text NOT NULL,
  -- Both empty: a worker runs. It removes this row when it stops, so that one that is left tells of a crash.
  subscription text NOT NULL,
  event_id     text NOT NULL,
  attempt      integer NOT NULL,
  PRIMARY KEY (slot, subscription, event_id)
);

-- GRANT USAGE ON SCHEMA walwatch TO walwatch;
-- GRANT SELECT, INSERT, UPDATE, DELETE ON walwatch.attempts TO walwatch;
