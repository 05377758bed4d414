/** Types as they were when a change was written, whatever the catalog contains when it is read. */
import { expect, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { startCluster } from '../support/cluster.ts';
import { createDatabase, useDatabase } from '../support/database.ts';
import { recorderOn } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

test('a domain that was dropped since is parsed as its base type', async () => {
  await db.sql(`create table dropping (id int primary key, v int4)`);
  const watchers = defineWatchers([['dropping', 'inserted', { extraColumns: ['v'] }]]);
  const slot = slotName();
  const first = watchOf(watchers, { slot });
  await first.start();
  await first.stop();
  await db.sql('create domain passing as int4; create domain passing_too as passing');
  await db.sql('alter table dropping alter v type passing_too');
  await db.sql('insert into dropping values (1, 1)');
  await db.sql('alter table dropping alter v type int4; drop domain passing_too; drop domain passing');
  const second = watchOf(watchers, { slot });
  const { all: events } = recorderOn(second, 'dropping:inserted');
  await second.start();
  await settled(db, second);
  expect(events).toEqual([{ id: 1, v: 1 }]);
});

test('a domain whose transaction other sessions do not see yet is parsed as its base type', async () => {
  await using cluster = await startCluster();
  await using other = await createDatabase(cluster.url);
  await other.sql('create table waiting (id int primary key, v int4)');
  const watchers = defineWatchers([['waiting', 'inserted', { extraColumns: ['v'] }]]);
  const watch = createWatch({ connection: other.url, slot: 'unseen', watchers });
  const { all: events } = recorderOn(watch, 'waiting:inserted');
  await watch.start();
  await cluster.reload({ synchronous_standby_names: 'nobody' });
  const client = await other.client();
  const committed = client.query(`begin; create domain unseen as int4; alter table waiting alter v type unseen;
    insert into waiting values (1, 1); commit`);
  const waits = `select from pg_stat_activity where wait_event = 'SyncRep'`;
  await until(async () => (await other.sql(waits)).length > 0, { describe: 'the commit to wait for a standby' });
  await cluster.reload({ synchronous_standby_names: '' });
  await committed;
  await until(() => events.length > 0, { describe: 'the event' });
  await watch.stop();
  await other.sql(`select pg_drop_replication_slot('unseen')`);
  expect(events).toEqual([{ id: 1, v: 1 }]);
});

test('a column named __proto__ is an ordinary column', async () => {
  await db.sql(`create table proto (id int primary key, "__proto__" jsonb)`);
  await db.sql('alter table proto replica identity full');
  const watch = watchOf(
    defineWatchers([
      ['proto', 'inserted', { extraColumns: ['__proto__'] }],
      ['proto', 'updated', { extraColumns: ['__proto__'] }],
    ]),
  );
  const inserted = recorderOn(watch, 'proto:inserted');
  const updated = recorderOn(watch, 'proto:updated');
  await watch.start();
  await db.sql(`insert into proto values (1, '{"isAdmin": true}')`);
  await db.sql(`update proto set id = 2`);
  await settled(db, watch);
  const row = (id: number) => [['id', id], ['__proto__', { isAdmin: true }]]; // prettier-ignore
  expect(Object.entries(inserted.all[0])).toEqual(row(1));
  expect(inserted.all[0].isAdmin).toBeUndefined();
  expect(Object.entries(updated.all[0])).toEqual(row(2));
  expect(Object.entries(updated.contexts[0]!.previous)).toEqual(row(1));
});
