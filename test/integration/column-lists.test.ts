/** `publication: { columnLists: true }`: the server sends only the needed columns, and the application sees no difference. */
import { expect, inject, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { columnListsOf, record } from '../support/column-lists.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const lists = test.skipIf(inject('server').version < 15);
const columnLists = { columnLists: true };
const { newTable, listOf } = columnListsOf(db);

lists('a list holds the columns of all watchers and the replica identity, and details() shows it', async () => {
  const name = await newTable();
  await db.sql(`alter table ${name} alter c set not null, add unique (c)`);
  await db.sql(`alter table ${name} replica identity using index ${name}_c_key`);
  const watch = watchOf(
    defineWatchers([
      [name, 'inserted', { extraColumns: ['a'] }],
      [name, 'updated', { label: `${name}_b`, triggerColumns: ['c'] }],
    ]),
    { publication: columnLists },
  );
  await watch.start();
  expect(await listOf(watch.status().slot, name)).toEqual(['id', 'a', 'c']);
  expect(watch.details(`${name}:inserted`)).toMatchObject({
    columns: ['id', 'a', 'b', 'c', 'spare'],
    pushedDown: { columns: ['id', 'a', 'c'], where: undefined, reason: undefined },
  });
  const without = watchOf(defineWatchers([[name, 'inserted']]));
  await without.start();
  expect(await listOf(without.status().slot, name)).toBeUndefined();
  expect(without.details(`${name}:inserted`)).not.toHaveProperty('pushedDown');
});

lists('events are the same with and without lists', async () => {
  const name = await newTable();
  await db.sql(`alter table ${name} alter a set storage external`);
  const watchers = defineWatchers([
    [name, 'inserted', { extraColumns: ['b', 'a'] }],
    [name, 'updated', { extraColumns: ['b', 'a'], absent: 'omit' }],
    [name, 'deleted'],
    [name, 'truncated'],
  ]);
  const names = ['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${name}:${type}`);
  const watches = [watchOf(watchers), watchOf(watchers, { publication: columnLists })];
  const heard = watches.map((watch) => record(watch, ...names).events);
  await Promise.all(watches.map((watch) => watch.start()));
  const statements = [
    `insert into ${name} select i, repeat('x', 9000), i, null, 'spare' from generate_series(1, 20) i`,
    `update ${name} set b = -b where id < 10`,
    `update ${name} set spare = 'y', c = 'z'`,
    `update ${name} set id = id + 100, a = null where id > 15`,
    `delete from ${name} where id in (1, 101, 117)`,
    `truncate ${name}`,
    `insert into ${name} values (1)`,
  ];
  for (const statement of statements) await db.sql(statement);
  for (const watch of watches) await settled(db, watch);
  expect(heard[0]!.length).toBeGreaterThan(50);
  expect(heard[1]).toEqual(heard[0]);
});

lists(
  'a table with REPLICA IDENTITY FULL gets no list and details() shows it, as for a partition; writes of the application succeed',
  async () => {
    const full = await newTable();
    await db.sql(`alter table ${full} replica identity full`);
    const root = `${full}_root`;
    await db.sql(`create table ${root} (id int primary key, a text, b int) partition by range (id)`);
    await db.sql(`create table ${root}_low partition of ${root} for values from (0) to (10)`);
    await db.sql(`create table ${root}_high partition of ${root} for values from (10) to (20)`);
    await db.sql(`alter table ${root}_high replica identity full`);
    const plain = await newTable();
    const entries = [full, root, plain].map((table) => [table, 'updated'] as const);
    const watch = watchOf(defineWatchers(entries), { publication: columnLists });
    const { slot } = watch.status();
    const { events } = record(watch, `${full}:updated`, `${root}:updated`, `${plain}:updated`);
    await watch.start();
    expect([await listOf(slot, full), await listOf(slot, root), await listOf(slot, plain)]).toEqual([
      undefined,
      undefined,
      ['id'],
    ]);
    const reason = (table: string) => (watch.details(`${table}:updated`) as any).pushedDown.reason;
    expect(reason(full)).toContain(`"public"."${full}" has REPLICA IDENTITY FULL`);
    expect(reason(root)).toContain(`"public"."${root}_high" has REPLICA IDENTITY FULL`);
    expect(reason(plain)).toBeUndefined();
    for (const table of [full, root, plain]) {
      await db.sql(`insert into ${table} (id, a) values (1, 'x'), (11, 'x')`);
      await db.sql(`update ${table} set a = 'y'`);
      await db.sql(`delete from ${table}`);
    }
    await settled(db, watch);
    expect(events).toHaveLength(6);
  },
);

lists('partitions of one identity get the list of their root', async () => {
  const root = 'listed_root';
  await db.sql(`create table ${root} (id int primary key, a text, b int) partition by range (id)`);
  await db.sql(`create table ${root}_low (b int, spare int, a text, id int not null)`); // other order of columns
  await db.sql(`alter table ${root}_low drop spare`);
  await db.sql(`alter table ${root} attach partition ${root}_low for values from (0) to (10)`);
  await db.sql(`create table ${root}_high partition of ${root} for values from (10) to (20)`);
  const watch = watchOf(defineWatchers([[root, 'updated', { extraColumns: ['b'] }]]), { publication: columnLists });
  const { events, warnings } = record(watch, `${root}:updated`);
  await watch.start();
  expect(await listOf(watch.status().slot, root)).toEqual(['id', 'b']);
  await db.sql(`insert into ${root} values (1, 'x', 10), (11, 'x', 110)`);
  await db.sql(`update ${root} set b = b + 1`);
  await settled(db, watch);
  expect(events).toEqual([
    ['updated', { id: 1, b: 11 }, { id: 1 }],
    ['updated', { id: 11, b: 111 }, { id: 11 }],
  ]);
  expect(warnings).toEqual([]);
});

lists('a publication for all tables or for a schema has no lists, and details() shows it', async () => {
  const name = await newTable();
  const slots = [slotName(), slotName()];
  await db.sql(`create publication "${slots[0]}" for all tables`);
  await db.sql(`create publication "${slots[1]}" for tables in schema public`);
  for (const slot of slots) {
    const watch = watchOf(defineWatchers([[name, 'inserted']]), { slot, publication: columnLists });
    await watch.start();
    expect(watch.details(`${name}:inserted`).pushedDown).toEqual({
      columns: undefined,
      where: undefined,
      reason: expect.stringContaining('for all tables or for schemas'),
    });
    await watch.stop();
  }
});

lists('a temporary slot has a list too', async () => {
  const name = await newTable();
  const watch = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]), {
    slot: { temporary: true },
    publication: columnLists,
  });
  const { events } = record(watch, `${name}:inserted`);
  await watch.start();
  expect(await listOf(watch.status().publication, name)).toEqual(['id', 'b']);
  await db.sql(`insert into ${name} values (1, 'x', 10)`);
  await until(() => events.length > 0, { describe: 'the event' });
  expect(events).toEqual([['inserted', { id: 1, b: 10 }, {}]]);
});

test('before PostgreSQL 15 columnLists is refused', async ({ skip }) => {
  if (inject('server').version >= 15) skip('the server has it');
  const watch = watchOf(defineWatchers([['users', 'inserted']]), { publication: columnLists });
  await expect(watch.start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringContaining('publication.columnLists needs PostgreSQL 15'),
  });
});
