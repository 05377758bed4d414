/** The table of positions, for `transaction: true`: positions that cannot be right, and older versions of the table. */
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ jobs: { id: number } }>()([['jobs', 'inserted']]);
const transaction = { transaction: true, name: 'worker' } as const;

beforeAll(async () => {
  await db.sql('create table jobs (id int primary key)');
  await db.sql('create table done (id int)');
});
beforeEach(() => db.sql('truncate jobs, done'));

const done = async () => (await db.sql<{ id: number }>('select id from done order by id')).map(({ id }) => id);
const insert = (...ids: readonly number[]) => db.sql('insert into jobs select unnest($1::int[])', [ids]);
test("a position beyond the server's WAL is refused, with a warning, and new events are handled", async () => {
  const slot = slotName();
  const make = () => {
    const watch = watchOf(watchers, { slot });
    watch.subscribe(
      'jobs:inserted',
      ({ id }, { client }) => client.query('insert into done values ($1)', [id]),
      transaction,
    );
    return watch;
  };
  const first = make();
  await first.start();
  await insert(1);
  await settled(db, first);
  await first.stop();
  const [row] = await db.sql('select timeline from walwatch.positions where slot = $1', [slot]);
  expect(row).toEqual({ timeline: '1' });
  await db.sql(`update walwatch.positions set commit_lsn = 'FFFF/0', timeline = 7 where slot = $1`, [slot]);
  const second = make();
  const warnings = recorder<WatchError>();
  second.on('warning', warnings);
  await second.start();
  await insert(2, 3);
  await settled(db, second);
  expect(warnings.all).toMatchObject([{ code: 'POSITION_REFUSED', message: expect.stringContaining('FFFF/0') }]);
  expect(await done()).toEqual([1, 2, 3]);
});

test('an older table of positions is migrated, and its positions count', async () => {
  const slot = slotName();
  await db.sql('drop schema if exists walwatch cascade');
  await db.sql('create schema walwatch');
  await db.sql(`create table walwatch.positions (slot text not null, subscription text not null, system_identifier text not null,
    commit_lsn pg_lsn not null, ordinal integer not null, primary key (slot, subscription))`);
  await db.sql(
    `insert into walwatch.positions select $1, 'worker', system_identifier, pg_current_wal_insert_lsn(), 0 from pg_control_system()`,
    [slot],
  );
  const watch = watchOf(watchers, { slot });
  watch.subscribe(
    'jobs:inserted',
    ({ id }, { client }) => client.query('insert into done values ($1)', [id]),
    transaction,
  );
  const warnings = recorder<WatchError>();
  watch.on('warning', warnings);
  await watch.start();
  await insert(1);
  await settled(db, watch);
  expect([await done(), warnings.all]).toEqual([[1], []]);
});
