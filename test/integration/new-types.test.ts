/** Types that are created or changed while changes stream: events still contain what `select` returns. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorderOn } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
let made = 0;

/** A watched table with one column of a type. */
async function streaming(type: string) {
  const name = `changing_${++made}`;
  await db.sql(`create table ${name} (id int generated always as identity primary key, v ${type})`);
  const watch = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['v'] }]]));
  const { all: events } = recorderOn(watch, `${name}:inserted`);
  await watch.start();
  const arrived = async () => {
    await settled(db, watch);
    return events.map(({ v }) => v);
  };
  return {
    name,
    arrived,
    /** The events contain what select returns, and the expected values. */
    expectRows: async (expected: readonly unknown[]) => {
      expect(await arrived()).toStrictEqual(expected);
      expect(events).toStrictEqual(await db.sql(`select * from ${name} order by id`));
    },
  };
}

test('an enum value that is added', async () => {
  await db.sql(`create type grade as enum ('low')`);
  const { name, expectRows } = await streaming('grade');
  await db.sql(`insert into ${name} (v) values ('low')`);
  await db.sql(`alter type grade add value 'high'`);
  await db.sql(`insert into ${name} (v) values ('high')`);
  await db.sql(`alter type grade add value 'middle' before 'high'`);
  await db.sql(`insert into ${name} (v) values ('middle')`);
  await expectRows(['low', 'high', 'middle']);
});

test('an enum value arrives under its name at the time of writing', async () => {
  await db.sql(`create type stage as enum ('draft')`);
  const { name, arrived } = await streaming('stage');
  const client = await db.client();
  await client.query('begin');
  await client.query(`insert into ${name} (v) values ('draft')`);
  await client.query(`alter type stage rename value 'draft' to 'written'`);
  await client.query(`insert into ${name} (v) values ('written')`);
  await client.query('commit');
  expect(await arrived()).toEqual(['draft', 'written']);
});

test('a domain that is created while streaming is parsed as its base type', async () => {
  const { name, expectRows } = await streaming('int4');
  await db.sql(`insert into ${name} (v) values (1)`);
  await db.sql('create domain later as int4 check (value > 0); create domain latest as later');
  await db.sql(`alter table ${name} alter v type latest`);
  await db.sql(`insert into ${name} (v) values (2)`);
  await expectRows([1, 2]);
});

test('types created in the transaction that uses them', async () => {
  const { name, expectRows } = await streaming('int4[]');
  const client = await db.client();
  await client.query('begin');
  await client.query(`insert into ${name} (v) values ('{1}')`);
  await client.query('create domain sudden as int4[]');
  await client.query(`alter table ${name} alter v type sudden`);
  await client.query(`insert into ${name} (v) values ('{2,NULL}')`);
  await client.query('create domain more_sudden as sudden check (cardinality(value) > 0)');
  await client.query(`alter table ${name} alter v type more_sudden`);
  await client.query(`insert into ${name} (v) values ('[3:3]={3}')`);
  await client.query('commit');
  await expectRows([[1], [2, null], [3]]);
});

test('a new enum, a composite and a range, in a column that had another type', async () => {
  const { name, arrived } = await streaming('text');
  for (const [create, value] of [
    [`create type fresh_enum as enum ('a')`, 'a'],
    [`create type fresh_pair as (a int, b text)`, '(1,"x y")'],
    [`create type fresh_range as range (subtype = float4)`, '[0.5,1)'],
  ] as const) {
    await db.sql(create);
    await db.sql(`truncate ${name}`);
    await db.sql(`alter table ${name} alter v type ${create.split(' ')[2]} using null`);
    await db.sql(`insert into ${name} (v) values ($1)`, [value]);
  }
  expect(await arrived()).toEqual(['a', '(1,"x y")', '[0.5,1)']);
});

test('a composite type with its attributes at the time of writing', async () => {
  await db.sql('create type growing as (a int)');
  const { name, arrived } = await streaming('growing');
  await db.sql(`insert into ${name} (v) values ('(1)')`);
  await db.sql('alter type growing add attribute b text');
  await db.sql(`insert into ${name} (v) values ('(2,"b c")')`);
  await db.sql(`alter type growing drop attribute a`);
  await db.sql(`insert into ${name} (v) values ('(d)')`);
  expect(await arrived()).toEqual(['(1)', '(2,"b c")', '(d)']);
});
