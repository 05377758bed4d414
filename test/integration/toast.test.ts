/** Large values are stored out of line, and are not sent when an update leaves them unchanged. */
import { expect, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const large = `repeat('x', 10000)`;
let number = 0;

async function tableWith(identity: string): Promise<string> {
  const table = `toasted_${++number}`;
  await db.sql(`create table ${table} (id int primary key, n int, doc text, slug text not null)`);
  await db.sql(`alter table ${table} alter doc set storage external, alter slug set storage external`);
  await db.sql(`alter table ${table} replica identity ${identity}`);
  return table;
}

test('without FULL, an unchanged large value is absent: reading it throws, and it is listed', async () => {
  const table = await tableWith('default');
  const watch = watchOf(defineWatchers([[table, 'updated', { extraColumns: ['n', 'doc'] }]]));
  const warnings = recorder<WatchError>();
  const seen: unknown[] = [];
  watch.on('warning', warnings);
  watch.subscribe(`${table}:updated`, (event, { absent }) => {
    let doc: unknown;
    try {
      doc = (event['doc'] as string | null)?.length ?? null;
    } catch (error) {
      doc = (error as WatchError).code;
    }
    seen.push({ ...event, doc, absent });
  });
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, ${large}, 's')`);
  await db.sql(`update ${table} set n = 2`);
  await db.sql(`update ${table} set doc = doc || 'y'`);
  await db.sql(`update ${table} set doc = null`);
  await db.sql(`update ${table} set n = 3`);
  await settled(db, watch);
  expect(seen).toEqual([
    { id: 1, n: 2, doc: 'VALUE_ABSENT', absent: ['doc'] },
    { id: 1, n: 2, doc: 10_001, absent: [] },
    { id: 1, n: 2, doc: null, absent: [] },
    { id: 1, n: 3, doc: null, absent: [] },
  ]);
  expect(warnings.all).toMatchObject([{ code: 'VALUE_ABSENT' }]);
});

test("with absent: 'omit' it is left out, and no warning is given", async () => {
  const table = await tableWith('default');
  const watch = watchOf(defineWatchers([[table, 'updated', { extraColumns: ['n', 'doc'], absent: 'omit' }]]));
  const warnings = recorder<WatchError>();
  const seen: unknown[] = [];
  watch.on('warning', warnings);
  watch.subscribe(`${table}:updated`, (event, { absent }) => void seen.push([event, event['doc'], absent]));
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, ${large}, 's')`);
  await db.sql(`update ${table} set n = 2`);
  await settled(db, watch);
  expect(seen).toEqual([[{ id: 1, n: 2 }, undefined, ['doc']]]);
  expect(warnings.all).toEqual([]);
});

test('with FULL the value is the old one, also as trigger and for routing', async () => {
  const table = await tableWith('full');
  const watch = watchOf(
    defineWatchers([
      [table, 'updated', { extraColumns: ['doc'] }],
      [table, 'updated', { label: 'doc_changed', triggerColumns: ['doc'] }],
    ]),
  );
  const all: unknown[] = [];
  const changed = recorder();
  const routed: unknown[] = [];
  watch.subscribe(`${table}:updated`, (event, { absent, previous }) => {
    all.push([(event['doc'] as string).length, (previous['doc'] as string).length, absent]);
  });
  watch.subscribe('doc_changed', changed);
  watch.subscribe(`${table}:updated`, { doc: 'x'.repeat(10_000) }, (event) => void routed.push(event['id']));
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, ${large}, 's')`);
  await db.sql(`update ${table} set n = 2`);
  await db.sql(`update ${table} set doc = 'short'`);
  await db.sql(`update ${table} set n = 3`);
  await settled(db, watch);
  expect(all).toEqual([[10_000, 10_000, []], [5, 10_000, []], [5, 5, []]]); // prettier-ignore
  expect(changed.all).toEqual([{ id: 1 }]);
  expect(routed).toEqual([1, 1]); // the unchanged one, and the one that it leaves
});

test('an unchanged large column of an index identity does not trigger, and a changed one does', async () => {
  const table = await tableWith('default');
  await db.sql(`create unique index ${table}_key on ${table} (id, slug)`);
  await db.sql(`alter table ${table} replica identity using index ${table}_key`);
  const watch = watchOf(
    defineWatchers([[table, 'updated', { label: 'renamed', triggerColumns: ['slug'], extraColumns: ['slug'] }]]),
  );
  const seen: unknown[] = [];
  watch.subscribe(
    'renamed',
    (event, { previous }) => void seen.push([(event['slug'] as string).length, (previous['slug'] as string).length]),
  );
  await watch.start();
  await db.sql(`insert into ${table} values (1, 1, null, repeat('x', 2500))`);
  await db.sql(`update ${table} set n = 2`);
  await db.sql(`update ${table} set slug = slug || 'y'`);
  await settled(db, watch);
  expect(seen).toEqual([[2501, 2500]]);
});

test('with a filter by a large value that was not sent, the update is delivered, with one warning, and holds nothing', async () => {
  const table = await tableWith('default');
  const watch = watchOf(defineWatchers([[table, 'updated', { extraColumns: ['n', 'doc'] }]]));
  const warnings = recorder<WatchError>();
  const heard: unknown[] = [];
  watch.on('warning', warnings);
  for (const filter of [{ doc: 'other' }, { doc: 'other', n: 2 }, { doc: 'other', n: 9 }])
    watch.subscribe(`${table}:updated`, filter as never, (event, { absent }) => void heard.push([filter, event['n'], absent])); // prettier-ignore
  await watch.start();
  expect(warnings.all.filter(({ message }) => message.includes('every subscription that filters by it'))).toHaveLength(
    1,
  );
  await db.sql(`insert into ${table} values (1, 1, ${large}, 's')`);
  await db.sql(`update ${table} set n = 2`);
  await db.sql(`update ${table} set n = 3`);
  await settled(db, watch);
  expect(heard).toEqual([
    [{ doc: 'other' }, 2, ['doc']], [{ doc: 'other', n: 2 }, 2, ['doc']], [{ doc: 'other' }, 3, ['doc']],
  ]); // prettier-ignore
  expect(warnings.all.filter(({ message }) => message.includes('PostgreSQL did not send'))).toHaveLength(1);
  expect(watch.status().heldBy).toBeUndefined();
});

test('values that are never stored out of line are not treated as large: short types, and tables with short rows', async () => {
  await db.sql('create domain price as numeric(12,2)');
  await db.sql(
    `create table short_values (id int primary key, n numeric(12,2), p price, v varchar(3), c char(5), i inet, d date, doc text)`,
  );
  await db.sql(`create table short_rows (id int primary key, v varchar(50), n numeric(100))`);
  const long = ['n', 'v', 'p', 'doc', 'big', 'parts'];
  await db.sql(
    `create table long_values (id int primary key, n numeric(30), v varchar(6), p numeric, doc jsonb, big bytea, parts int[])`,
  );
  const watch = watchOf(
    defineWatchers([
      ['short_values', 'updated', { extraColumns: ['n', 'p', 'v', 'c', 'i', 'd'] }],
      ['short_rows', 'updated', { extraColumns: ['v', 'n'] }],
      ['long_values', 'updated', { extraColumns: long }],
    ]),
  );
  const warnings = recorder<WatchError>();
  watch.on('warning', warnings);
  await watch.start();
  expect(warnings.all.map(({ code, message }) => [code, message.split(' that did not change')[0]])).toEqual([
    [
      'VALUE_ABSENT',
      `long_values:updated: PostgreSQL does not send a large value of ${long.map((name) => `'${name}'`).join(', ')}`,
    ],
  ]);
});
