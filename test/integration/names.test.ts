/** Tables, schemas and columns may have any name that PostgreSQL allows. */
import { expect, test } from 'vitest';
import { quoteIdentifier, quoteTable } from '../../src/postgres/server.ts';
import { defineWatchers, table } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorderOn } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

const names = [
  'UPPER Case', 'a.b.c', `it's`, 'say "hi"', '"', `'`, '\\', `\\"'\\`, 'ünïcödé 漢字 😀', ' ', ' padded ', 'tab\tnewline\n',
  'x'.repeat(63), 'ä'.repeat(31) + 'x', 'select', 'a:b', '$1', '%s', '--', '/*', ';', '{}', '0', 'constructor', 'toString',
  'hasOwnProperty', 'watcher', 'then', '\u0001', '\u200d', 'Ω'.repeat(30),
]; // prettier-ignore

/** Watches a table with a key and the given columns, changes a row, and compares each event with the row. */
async function expectDelivered(given: {
  schema: string;
  name: string;
  columns: readonly string[];
  map?: (index: number) => string;
}) {
  const { columns, schema, name } = given;
  const [key, ...others] = columns as [string, ...string[]];
  const where = quoteTable({ schema, name });
  const quoted = others.map(quoteIdentifier);
  await db.sql(`create schema if not exists ${quoteIdentifier(schema)}`);
  await db.sql(`create table ${where} (${quoteIdentifier(key)} int primary key,
    ${quoted.map((column) => `${column} text`).join(', ')})`);
  await db.sql(`alter table ${where} replica identity full`);
  const code = (column: string) => (given.map ? given.map(columns.indexOf(column)) : column);
  const columnMap = given.map ? Object.fromEntries(columns.map((column) => [code(column), column])) : {};
  const described = table()({ tableName: name, schema, primaryKey: code(key), columnMap });
  const extraColumns = others.map(code);
  const watch = watchOf(
    defineWatchers([
      [described, 'inserted', { label: 'in', extraColumns }],
      [described, 'updated', { label: 'up', extraColumns, triggerColumns: extraColumns.slice(-1) }],
      [described, 'deleted', { label: 'gone', extraColumns }],
      [described, 'truncated', { label: 'empty' }],
    ]),
  );
  const inserted = recorderOn(watch, 'in');
  const filtered = recorderOn(watch, 'in', { [extraColumns[0]!]: 'text 0' });
  const updated = recorderOn(watch, 'up');
  const deleted = recorderOn(watch, 'gone');
  const truncated = recorderOn(watch, 'empty');
  await watch.start();
  const insert = `insert into ${where} values (1, ${others.map((_, index) => `'text ${index}'`).join(', ')}) returning *`;
  const inCode = (row: object) =>
    Object.fromEntries(Object.entries(row).map(([column, value]) => [code(column), value]));
  const [row] = await db.sql(insert);
  const [changed] = await db.sql(`update ${where} set ${quoted.at(-1)} = null returning *`);
  await db.sql(`delete from ${where}`);
  await db.sql(`truncate ${where}`);
  await settled(db, watch);
  expect(inserted.all).toStrictEqual([inCode(row!)]);
  expect(filtered.all).toStrictEqual([inCode(row!)]);
  expect(updated.all).toStrictEqual([inCode(changed!)]);
  expect(updated.contexts[0]!.previous).toStrictEqual(inCode(row!));
  expect(deleted.all).toStrictEqual([inCode(changed!)]);
  expect(truncated.all).toEqual([{}]);
  expect(inserted.contexts[0]).toMatchObject({ schema, table: name });
}

test('columns', () => expectDelivered({ schema: 'public', name: 'strange_columns', columns: ['id', ...names] }));

test('columns that have other names in code', () =>
  expectDelivered({ schema: 'public', name: 'mapped', columns: ['id', ...names], map: (index) => `property${index}` }));

test('names in code that are the names of other columns', () =>
  expectDelivered({ schema: 'public', name: 'swapped', columns: ['a', 'b', 'c'], map: (index) => 'bca'[index]! }));

test.each(names)('a table, its schema and its key %j', async (name) => {
  const schema = name.startsWith('pg_') ? 'public' : name;
  await expectDelivered({ schema, name, columns: [name, 'other'] });
});

test('a string names a table exactly; its first dot separates schema and table', async () => {
  for (const [given, quoted] of [
    [`Quotes " and '`, `public."Quotes "" and '"`],
    ['Löwe', 'public."Löwe"'],
    ['Schema.a.b', '"Schema"."a.b"'],
  ] as const) {
    if (given.startsWith('Schema')) await db.sql('create schema "Schema"');
    await db.sql(`create table ${quoted} (id int primary key)`);
    const watch = watchOf(defineWatchers([[given, 'inserted']]));
    const inserted = recorderOn(watch, `${given}:inserted`);
    await watch.start();
    await db.sql(`insert into ${quoted} values (1)`);
    await settled(db, watch);
    expect(inserted.all).toEqual([{ id: 1 }]);
  }
});

test('a publication may have any name too', async () => {
  for (const publication of [`"a" 'b' \\, c.D`, 'Ü'.repeat(31)]) {
    const watch = watchOf(defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]), { publication });
    const inserted = recorderOn(watch, 'users:inserted');
    await watch.start();
    await db.sql(`insert into users (name) values ('published')`);
    await settled(db, watch);
    expect(inserted.all).toMatchObject([{ name: 'published' }]);
    await watch.stop();
    await db.sql(`drop publication ${quoteIdentifier(publication)}`);
  }
});
