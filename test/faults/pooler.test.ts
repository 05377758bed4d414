/** A pooler in between: features it does not support must be reported, and not retried. */
import { beforeAll, expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { poolerVersion, startPooler } from '../support/pooler.ts';
import { watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
beforeAll(() => db.sql('create table entries (id int generated always as identity primary key)'));
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);

const version = poolerVersion();
const missing = version === undefined;
if (missing) console.warn('SKIPPED: PgBouncer is not installed. apt-get install pgbouncer');

async function refused(settings: Readonly<Record<string, string>>): Promise<void> {
  await using pooler = await startPooler(db.url, settings);
  const watch = watchOf(watchers, { connection: pooler.url });
  let disconnects = 0;
  watch.on('disconnected', () => disconnects++);
  await expect(watch.start()).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    retry: 'never',
    solution: expect.stringContaining('pooler'),
  });
  expect(disconnects).toBe(0);
  await watch.stop();
}

test.skipIf(missing).each(['session', 'transaction'])(
  'PgBouncer with pool_mode = %s is UNSUPPORTED, at once and with a solution',
  (mode) => refused({ pool_mode: mode }),
);

// Without our settings, names in our SQL could refer to objects that others have created.
test.skipIf(missing).each([
  ['the settings that we send', 'options'],
  ['also that we want to replicate', 'options,replication'],
])('so is one that is configured to ignore %s', (_, ignored) => refused({ ignore_startup_parameters: ignored }));
