/** The replica identity decides which old values PostgreSQL sends; a value that is not sent is never null and never wrong. */
import { expect, test } from 'vitest';
import { defineWatchers, type EventContext, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
let number = 0;

/** A table with the given identity: id, a routing column that may be null, and one that the index covers. */
async function tableWith(identity: 'default' | 'full' | 'index' | 'nothing'): Promise<string> {
  const table = `identity_${identity}_${++number}`;
  await db.sql(`create table ${table} (id int primary key, role_id int, code int not null, note text)`);
  await db.sql(`create unique index ${table}_key on ${table} (id, code)`);
  const clause = { default: 'default', full: 'full', nothing: 'nothing', index: `using index ${table}_key` }[identity];
  await db.sql(`alter table ${table} replica identity ${clause}`);
  return table;
}

const everyType = (table: string) =>
  defineWatchers([
    [table, 'inserted'],
    [table, 'updated'],
    [table, 'deleted'],
  ]);

test.for(['default', 'full', 'index'] as const)(
  'with identity %s inserts, updates and deletes are delivered, and changes of the key',
  async (identity) => {
    const table = await tableWith(identity);
    const watch = watchOf(everyType(table));
    const heard: unknown[] = [];
    for (const type of ['inserted', 'updated', 'deleted'] as const) {
      watch.subscribe(
        `${table}:${type}`,
        (event, { type: what, previous }) => void heard.push([what, event, previous]),
      );
    }
    const ids = recorder();
    watch.subscribe(`${table}:updated`, 1, ids);
    await watch.start();
    await db.sql(`insert into ${table} values (1, 7, 1, 'n')`);
    await db.sql(`update ${table} set note = 'm'`);
    await db.sql(`update ${table} set id = 2`);
    await db.sql(`delete from ${table}`);
    await settled(db, watch);
    expect(heard).toEqual([
      ['inserted', { id: 1 }, {}],
      ['updated', { id: 1 }, { id: 1 }],
      ['updated', { id: 2 }, { id: 1 }],
      ['deleted', { id: 2 }, {}],
    ]);
    expect(ids.all).toEqual([{ id: 1 }, { id: 2 }]);
  },
);

test('with identity nothing, inserts can be watched alone; with updates or deletes the table is refused', async () => {
  const table = await tableWith('nothing');
  const watch = watchOf(defineWatchers([[table, 'inserted']]));
  const heard = recorder();
  watch.subscribe(`${table}:inserted`, heard);
  await watch.start();
  await db.sql(`insert into ${table} values (1, 7, 1)`);
  await settled(db, watch);
  expect(heard.all).toEqual([{ id: 1 }]);
  await watch.stop();
  await expect(watchOf(everyType(table)).start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringContaining(`ALTER TABLE "public"."${table}" REPLICA IDENTITY DEFAULT;`),
  });
});

test.for([
  ['default', 'role_id', false], ['default', 'id', true], ['full', 'role_id', true],
  ['index', 'code', true], ['index', 'role_id', false], ['index', 'id', true],
] as const)('with identity %s the column %s as trigger or of deleted rows is accepted: %s', async ([identity, column, accepted]) => {
  const table = await tableWith(identity);
  const watch = watchOf(
    defineWatchers([
      [table, 'updated', { label: 'triggered', triggerColumns: [column] }],
      [table, 'deleted', { extraColumns: [column] }],
    ]),
  );
  if (!accepted) {
    const full = `ALTER TABLE "public"."${table}" REPLICA IDENTITY FULL;`;
    await expect(watch.start()).rejects.toMatchObject({ code: 'CONFIGURATION', issues: [{ solution: full }, { solution: full }] });
    return;
  }
  const heard = recorder();
  watch.subscribe('triggered', heard);
  watch.subscribe(`${table}:deleted`, { [column]: 5 }, heard);
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, 1)`);
  await db.sql(`update ${table} set note = 'untriggered'`);
  await db.sql(`update ${table} set ${column} = 5`);
  await db.sql(`delete from ${table}`);
  await settled(db, watch);
  const row = column === 'id' ? { id: 5 } : { id: 1 };
  expect(heard.all).toEqual([row, { ...row, [column]: 5 }]);
}); // prettier-ignore

test('without the old value an association is routed by the new one alone, with a warning', async () => {
  const table = await tableWith('default');
  const watch = watchOf(defineWatchers([[table, 'updated', { extraColumns: ['role_id'] }]]));
  const heard: string[] = [];
  const warnings = recorder<WatchError>();
  watch.on('warning', warnings);
  watch.subscribe(`${table}:updated`, { role_id: 1 }, () => void heard.push('old'));
  watch.subscribe(`${table}:updated`, { role_id: 2 }, () => void heard.push('new'));
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, 1)`);
  await db.sql(`update ${table} set role_id = 2`);
  await settled(db, watch);
  expect(heard).toEqual(['new']);
  expect(warnings.all).toMatchObject([
    { code: 'REPLICA_IDENTITY', solution: `ALTER TABLE "public"."${table}" REPLICA IDENTITY FULL;` },
  ]);
});

test('an identity that is reduced while streaming causes a warning, and duplicates are preferred to losses', async () => {
  const table = await tableWith('full');
  const watch = watchOf(
    defineWatchers([
      [table, 'updated', { label: 'moved', triggerColumns: ['role_id'] }],
      [table, 'deleted', { extraColumns: ['role_id'] }],
    ]),
  );
  const warnings = recorder<WatchError>();
  const contexts: EventContext[] = [];
  const deleted: { event: object; absent: readonly string[]; thrown: unknown }[] = [];
  watch.on('warning', warnings);
  watch.subscribe('moved', (_, context) => void contexts.push(context));
  watch.subscribe(`${table}:deleted`, (event, { absent }) => {
    let thrown: unknown;
    try {
      void event['role_id'];
    } catch (error) {
      thrown = error;
    }
    deleted.push({ event, absent, thrown });
  });
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, 1)`);
  await db.sql(`update ${table} set note = 'no trigger'`);
  await settled(db, watch);
  expect(contexts).toHaveLength(0);
  await db.sql(`alter table ${table} replica identity default`);
  await db.sql(`update ${table} set note = 'not known'`);
  await db.sql(`delete from ${table}`);
  await settled(db, watch);
  expect(contexts).toHaveLength(1);
  expect(deleted).toEqual([
    { event: { id: 1 }, absent: ['role_id'], thrown: expect.objectContaining({ code: 'VALUE_ABSENT' }) },
  ]);
  expect(warnings.all.map(({ code }) => code)).toEqual(['REPLICA_IDENTITY', 'REPLICA_IDENTITY']);
});

test('without the value that decides a route, every filtered subscription gets the event, with a warning', async () => {
  const table = await tableWith('full');
  const watch = watchOf(defineWatchers([[table, 'deleted', { extraColumns: ['role_id'] }]]));
  const warnings: string[] = [];
  const heard: string[] = [];
  watch.on('warning', ({ code, message }) => warnings.push(`${code} ${message}`));
  watch.subscribe(`${table}:deleted`, () => void heard.push('all'));
  for (const role of [1, 2])
    watch.subscribe(`${table}:deleted`, { role_id: role }, (_, { absent }) => void heard.push(`${role} ${absent.join()}`)); // prettier-ignore
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, 1)`);
  await db.sql(`alter table ${table} replica identity default`);
  await db.sql(`delete from ${table}`);
  await settled(db, watch);
  expect(heard).toEqual(['all', '1 role_id', '2 role_id']);
  expect(warnings.filter((text) => text.includes("did not send the value of 'role_id'"))).toHaveLength(1);
});
