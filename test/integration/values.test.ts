/** A value of an event equals what `select` through pg returns for the same row. */
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { quoteIdentifier } from '../../src/postgres/server.ts';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorderOn } from '../support/recorder.ts';
import { optionalValues, type Samples, sampleTypes, sampleValues, unwritable } from '../support/sample-values.ts';
import { dropSlotAndPublication, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

beforeAll(async () => {
  await db.sql(`create schema samples; create table samples."Odd ""Table" ()`);
  await db.sql(sampleTypes);
});

/** One column for each type, named after it, and one row for each sample of a type. */
async function makeTable(name: string, samples: Samples) {
  const columns = samples.map(([type]) => ({ name: quoteIdentifier(type), type }));
  const definitions = columns.map((column) => `${column.name} ${column.type}`);
  await db.sql(`create table ${name} (id int primary key, ${definitions.join(', ')})`);
  await db.sql(`alter table ${name} replica identity full`);
  const rows = Math.max(...samples.map(([, ...expressions]) => expressions.length)) + 1;
  // A type with fewer samples has null in the other rows.
  const value = ([type, ...expressions]: Samples[number], row: number) =>
    row < expressions.length ? `(${expressions[row]})::${type}` : 'null';
  const insert = (row: number) =>
    db.sql(`insert into ${name} values (${row}, ${samples.map((sample) => value(sample, row)).join(', ')})`);
  return {
    insert: async () => {
      for (let row = 0; row < rows; row++) await insert(row);
    },
    /** Each row gets the values of the one before it. */
    update: () => {
      const shifted = columns.map((column) => `${column.name} = other.${column.name}`);
      return db.sql(
        `update ${name} t set ${shifted.join(', ')} from ${name} other where t.id = (other.id + 1) % ${rows}`,
      );
    },
    delete: () => db.sql(`delete from ${name}`),
    // In a session that writes names as ours do.
    select: async () => {
      const client = await db.client({ options: '-c search_path=pg_catalog,pg_temp' });
      const { rows: selected } = await client.query(`select * from public.${name} order by id`);
      await client.end();
      return selected;
    },
  };
}

const byId = (a: any, b: any) => a.id - b.id;

async function expectEqualValues(name: string, samples: Samples, connection = db.url) {
  const rows = await makeTable(name, samples);
  const options = { extraColumns: samples.map(([type]) => type) };
  const watch = watchOf(
    defineWatchers([
      [name, 'inserted', options],
      [name, 'updated', options],
      [name, 'deleted', options],
    ]),
    { connection },
  );
  const inserted = recorderOn(watch, `${name}:inserted`);
  const updated = recorderOn(watch, `${name}:updated`);
  const deleted = recorderOn(watch, `${name}:deleted`);
  await watch.start();

  await rows.insert();
  const before = await rows.select();
  await rows.update();
  const after = await rows.select();
  await rows.delete();
  await settled(db, watch);

  expect(inserted.all).toStrictEqual(before);
  expect(updated.all.toSorted(byId)).toStrictEqual(after);
  expect(updated.contexts.map(({ previous }) => previous).toSorted(byId)).toStrictEqual(before);
  expect(deleted.all.toSorted(byId)).toStrictEqual(after);
  await watch.stop();
  await dropSlotAndPublication(db, watch.status().slot);
}

describe('values of every type are what select returns, new, old and deleted', () => {
  test.each(Object.entries(sampleValues))('%s', async (group, samples) => {
    await expectEqualValues(`of_${group.replaceAll(' ', '_')}`, samples);
  });

  const arrays: Samples = Object.values(sampleValues)
    .flat()
    .filter(([type]) => !type.endsWith('[]'))
    .map(([type, ...values]) => [
      `${type}[]`,
      `array[null, ${values.map((value) => `(${value})::${type}`).join(', ')}]`,
    ]);
  test('arrays of every type', () => expectEqualValues('arrays_of_all', arrays));

  test.for(Object.entries(optionalValues))('%s', async ([extension, samples], { skip }) => {
    if (extension === 'xml') {
      const supported = await db.sql(`select '<a/>'::xml`).then(() => true, () => false); // prettier-ignore
      if (!supported) skip('the server was built without libxml');
    } else {
      const found = await db.sql('select from pg_available_extensions where name = $1', [extension]);
      if (found.length === 0) skip(`the server has no ${extension}`);
      await db.sql(`create extension ${extension}`);
    }
    await expectEqualValues(`of_${extension}`, samples);
  });

  test('every type of the server is covered', async () => {
    const builtIn = await db.sql<{ name: string }>(
      `select oid::regtype::text as name from pg_type
       where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm') and typcategory <> 'A'
         and not typname = any ($1)`,
      [unwritable],
    );
    const sampled = [...Object.values(sampleValues), optionalValues.xml].flat().map(([type]) => type);
    const names = await db.sql<{ name: string }>('select t::regtype::text as name from unnest($1::text[]) t', [
      sampled,
    ]);
    expect(builtIn.map(({ name }) => name).filter((name) => !names.some((one) => one.name === name))).toEqual([]);
  });
});

test('settings of the role that walwatch connects as do not affect values', async () => {
  const role = `samples_${process.pid}`;
  await db.sql(`create role ${role} login superuser`);
  onTestFinished(async () => {
    await db.sql(`drop role ${role}`);
  });
  for (const setting of [
    `datestyle = 'German'`, `intervalstyle = 'iso_8601'`, `timezone = 'Asia/Tokyo'`, 'extra_float_digits = -15',
    `bytea_output = 'escape'`, `client_encoding = 'LATIN1'`, `search_path = 'nowhere'`, `xmloption = 'document'`,
    `default_text_search_config = 'french'`, `array_nulls = off`, 'row_security = off',
  ]) await db.sql(`alter role ${role} set ${setting}`); // prettier-ignore
  const url = new URL(db.url);
  url.username = role;
  await expectEqualValues('of_all', Object.values(sampleValues).flat(), url.href);
});
