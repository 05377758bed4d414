/** Partitioned tables, inheritance, and generated columns. */
import { expect, inject, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
let number = 0;

/** Partitioned by id: below 10, and from 10 to 20, of which the second is partitioned again. */
async function partitioned(identity = 'default'): Promise<string> {
  const root = `events_${++number}`;
  await db.sql(`create table ${root} (id int primary key, kind text, n int) partition by range (id)`);
  await db.sql(`create table ${root}_low partition of ${root} for values from (0) to (10)`);
  await db.sql(`create table ${root}_mid partition of ${root} for values from (10) to (20) partition by range (id)`);
  await db.sql(`create table ${root}_mid_1 partition of ${root}_mid for values from (10) to (20)`);
  for (const suffix of ['', '_low', '_mid', '_mid_1'])
    await db.sql(`alter table ${root}${suffix} replica identity ${identity}`);
  return root;
}

function record(watch: SlotWatch<any>, table: string) {
  const heard: unknown[] = [];
  const handler: any = (event: object, context: { type: string; table: string }) =>
    void heard.push([context.type, event, context.table]);
  for (const type of ['inserted', 'updated', 'deleted', 'truncated']) {
    watch.subscribe(`${table}:${type}`, handler);
  }
  return heard;
}

const all = (table: string) => defineWatchers([[table, 'inserted'], [table, 'updated'], [table, 'deleted'], [table, 'truncated']]); // prettier-ignore

test('a partitioned table is watched by its root, whichever partition a row is in, nested ones included', async () => {
  const root = await partitioned();
  const watch = watchOf(all(root));
  const heard = record(watch, root);
  await watch.start();
  await db.sql(`insert into ${root} values (1, 'a'), (11, 'b')`);
  await db.sql(`insert into ${root}_mid_1 values (12, 'c')`);
  await db.sql(`update ${root} set kind = 'z' where id = 11`);
  await db.sql(`delete from ${root} where id = 12`);
  await db.sql(`truncate ${root}`);
  await settled(db, watch);
  expect(heard).toEqual([
    ['inserted', { id: 1 }, root], ['inserted', { id: 11 }, root], ['inserted', { id: 12 }, root],
    ['updated', { id: 11 }, root], ['deleted', { id: 12 }, root], ['truncated', {}, root],
  ]); // prettier-ignore
});

test('a row that moves to another partition is a delete and an insert, as PostgreSQL writes it', async () => {
  const root = await partitioned();
  const watch = watchOf(all(root));
  const heard = record(watch, root);
  await watch.start();
  await db.sql(`insert into ${root} values (1, 'a')`);
  await db.sql(`update ${root} set id = 11`);
  await settled(db, watch);
  expect(heard).toEqual([['inserted', { id: 1 }, root], ['deleted', { id: 1 }, root], ['inserted', { id: 11 }, root]]); // prettier-ignore
});

test('a partition can be watched alone; together with its root it is refused', async () => {
  const root = await partitioned();
  const watch = watchOf(all(`${root}_low`));
  const heard = record(watch, `${root}_low`);
  await watch.start();
  await db.sql(`insert into ${root} values (1), (11)`);
  await db.sql(`truncate ${root}_low`);
  await settled(db, watch);
  expect(heard).toEqual([['inserted', { id: 1 }, `${root}_low`], ['truncated', {}, `${root}_low`]]); // prettier-ignore
  const both = watchOf(defineWatchers([[root, 'inserted'], [`${root}_low`, 'inserted']])); // prettier-ignore
  await expect(both.start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringContaining('is a partition of'),
  });
});

test('changes in partitions that are attached while streaming are delivered, until they are detached', async ({
  skip,
}) => {
  if (inject('server').version < 15)
    skip('PostgreSQL 14 decides once for each connection whether, and as what, a table is published');
  const root = await partitioned();
  const watch = watchOf(all(root));
  const heard = record(watch, root);
  await watch.start();
  await db.sql(`create table ${root}_high (kind text, n int, id int primary key)`); // other order of columns
  await db.sql(`insert into ${root}_high values ('before', 1, 21)`);
  await db.sql(`alter table ${root} attach partition ${root}_high for values from (20) to (30)`);
  await db.sql(`insert into ${root} values (22, 'attached')`);
  await db.sql(`alter table ${root} detach partition ${root}_high`);
  await db.sql(`insert into ${root}_high values ('detached', 1, 23)`);
  await db.sql(`insert into ${root} values (2)`);
  await settled(db, watch);
  expect(heard).toEqual([['inserted', { id: 22 }, root], ['inserted', { id: 2 }, root]]); // prettier-ignore
});

test('old values need REPLICA IDENTITY FULL on the root and on each partition', async () => {
  const root = await partitioned();
  await db.sql(`alter table ${root} replica identity full`);
  const watchers = defineWatchers([
    [root, 'updated', { label: 'kind_changed', triggerColumns: ['kind'], extraColumns: ['kind'] }],
  ]);
  const refused = await watchOf(watchers).start().catch((error: unknown) => error); // prettier-ignore
  const { issues } = refused as { issues: { solution: string }[] };
  expect(issues).toHaveLength(1);
  for (const statement of issues[0]!.solution.split(';').filter((one) => one.trim() !== '')) await db.sql(statement);
  const watch = watchOf(watchers);
  const heard: unknown[] = [];
  watch.subscribe('kind_changed', (event, { previous }) => void heard.push([event, previous]));
  await watch.start();
  await db.sql(`insert into ${root} values (1, 'a'), (11, 'b')`);
  await db.sql(`update ${root} set n = 1`);
  await db.sql(`update ${root} set kind = 'c'`);
  await settled(db, watch);
  expect(heard).toEqual([
    [
      { id: 1, kind: 'c' },
      { id: 1, kind: 'a' },
    ],
    [
      { id: 11, kind: 'c' },
      { id: 11, kind: 'b' },
    ],
  ]);
});

test('a new partition that sends less than the others causes a warning, and missing values are never null', async () => {
  const root = await partitioned('full');
  const watch = watchOf(
    defineWatchers([[root, 'updated', { label: 'kind_changed', triggerColumns: ['kind'], extraColumns: ['kind'] }]]),
  );
  const warnings = recorder<WatchError>();
  const heard: unknown[] = [];
  watch.on('warning', warnings);
  watch.subscribe('kind_changed', (event, { previous }) => void heard.push([event, previous]));
  await watch.start();
  await db.sql(`create table ${root}_high partition of ${root} for values from (20) to (30)`);
  await db.sql(`insert into ${root} values (21, 'a')`);
  await db.sql(`update ${root} set n = 1`);
  await settled(db, watch);
  expect(heard).toEqual([[{ id: 21, kind: 'a' }, { id: 21 }]]); // prettier-ignore
  expect(warnings.all.map(({ code }) => code)).toContain('REPLICA_IDENTITY');
  expect(warnings.all.find(({ code }) => code === 'REPLICA_IDENTITY')!.solution).toContain(`${root}_high`);
});

test('old values that a new partition does not send are absent, not null, and every filter by them gets the row', async () => {
  const root = await partitioned('full');
  const watch = watchOf(defineWatchers([[root, 'deleted', { extraColumns: ['kind', 'n'] }]]));
  const heard: unknown[] = [];
  watch.subscribe(`${root}:deleted`, (event, { absent }) => void heard.push([{ ...event }, absent]));
  for (const kind of ['a', 'b', null])
    watch.subscribe(`${root}:deleted`, { kind }, ({ id }) => void heard.push(`${kind}: ${String(id)}`));
  await watch.start();
  await db.sql(`insert into ${root} values (1, 'a', null); delete from ${root}`);
  await db.sql(`create table ${root}_high partition of ${root} for values from (20) to (30)`);
  await db.sql(`insert into ${root} values (21, 'a', 5); delete from ${root}`);
  // A value that is sent is known.
  await db.sql(`insert into ${root} values (2, 'b', 7); delete from ${root}`);
  await settled(db, watch);
  expect(heard).toEqual([
    [{ id: 1, kind: 'a', n: null }, []], 'a: 1',
    [{ id: 21 }, ['kind', 'n']], 'a: 21', 'b: 21', 'null: 21',
    [{ id: 2, kind: 'b', n: 7 }, []], 'b: 2',
  ]); // prettier-ignore
});

test('a table reports its own rows, not those of tables that inherit from it', async () => {
  await db.sql('create table base (id int primary key)');
  await db.sql('create table child (more int) inherits (base)');
  const watch = watchOf(all('base'));
  const heard = record(watch, 'base');
  await watch.start();
  await db.sql('insert into base values (1)');
  await db.sql('insert into child values (2, 2)');
  await settled(db, watch);
  expect(heard).toEqual([['inserted', { id: 1 }, 'base']]);
  const published = await db.sql('select tablename from pg_publication_tables where pubname = $1', [
    watch.status().publication,
  ]);
  expect(published).toEqual([{ tablename: 'base' }]);
});

test('identity columns are ordinary columns; stored generated ones need PostgreSQL 18, and are refused before', async () => {
  await db.sql(
    'create table computed (id int generated always as identity primary key, a int, twice int generated always as (a * 2) stored)',
  );
  await db.sql('alter table computed replica identity full');
  const watch = watchOf(defineWatchers([['computed', 'inserted', { extraColumns: ['twice'] }], ['computed', 'updated']])); // prettier-ignore
  if (inject('server').version < 18) {
    await expect(watch.start()).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining('generated column'),
    });
  } else {
    const heard = recorder();
    watch.subscribe('computed:inserted', heard);
    await watch.start();
    await db.sql('insert into computed (a) values (21)');
    await db.sql('update computed set a = 1');
    await settled(db, watch);
    expect(heard.all).toEqual([{ id: 1, twice: 42 }]);
    await watch.stop();
  }
  // Even with other watchers on the table, the application's own updates must still succeed.
  const other = watchOf(all('computed'));
  const heard = record(other, 'computed');
  await other.start();
  const [row] = await db.sql('insert into computed (a) values (1) returning id');
  await db.sql('update computed set a = 2');
  await settled(db, other);
  expect(heard.slice(0, 2)).toEqual([['inserted', row, 'computed'], ['updated', expect.anything(), 'computed']]); // prettier-ignore
});
