/** A filter with the value that an event shows matches the rows with that value, whatever the type of the column. */
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { defineWatchers, type SlotWatch, table as tableOf } from '../../src/index.ts';
import { quoteIdentifier } from '../../src/postgres/server.ts';
import { useDatabase } from '../support/database.ts';
import { recorderOn } from '../support/recorder.ts';
import { optionalValues, type Samples, sampleTypes, sampleValues } from '../support/sample-values.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

beforeAll(async () => {
  await db.sql(`create schema samples; create table samples."Odd ""Table" ()`);
  await db.sql(sampleTypes);
});

const isScalar = (value: unknown) => ['string', 'number', 'bigint', 'boolean'].includes(typeof value);

/** Inserts each value, subscribes with the values of the events, and inserts them again. */
async function expectOwnValuesToMatch(name: string, samples: Samples) {
  const columns = samples.map(([type]) => quoteIdentifier(type));
  await db.sql(`create table ${name} (id serial primary key, ${samples.map(([type], index) => `${columns[index]} ${type}`).join(', ')})`); // prettier-ignore
  const watcher = `${name}:inserted`;
  const entry = [name, 'inserted', { extraColumns: samples.map(([type]) => type) }] as const;
  const watch: SlotWatch<any> = watchOf(defineWatchers([entry]));
  const { all: events } = recorderOn(watch, watcher);
  await watch.start();
  const insert = async () => {
    for (const [index, [type, ...expressions]] of samples.entries())
      for (const expression of expressions)
        await db.sql(`insert into ${name} (${columns[index]}) values ((${expression})::${type})`);
  };
  await insert();
  await settled(db, watch);
  const shown = events.splice(0);
  const missed = new Map<string, unknown>();
  for (const event of shown) {
    for (const [column, value] of Object.entries(event)) {
      if (column === 'id' || !isScalar(value)) continue;
      const label = `${column} = ${String(value).slice(0, 50)}`;
      missed.set(label, value);
      watch.subscribe(watcher, { [column]: value }, () => void missed.delete(label));
    }
  }
  const filters = missed.size;
  await insert();
  await settled(db, watch);
  expect([...missed.keys()]).toEqual([]);
  return filters;
}

test('the samples of every type', async () => {
  let filters = 0;
  for (const [group, samples] of Object.entries(sampleValues))
    filters += await expectOwnValuesToMatch(`of_${group.replaceAll(' ', '_')}`, samples);
  expect(filters).toBeGreaterThan(150);
});

test('numbers of all sizes, as texts and as JavaScript numbers', async () => {
  await db.sql('create table numbers_of_all_sizes (id serial primary key, f8 float8, f4 float4, n numeric)');
  const watcher = 'numbers_of_all_sizes:inserted';
  const watch = watchOf(defineWatchers([['numbers_of_all_sizes', 'inserted', { extraColumns: ['f8', 'f4', 'n'] }]]));
  await watch.start();
  const random = fc.sample(fc.double({ noNaN: true, noDefaultInfinity: true }), 150);
  const powers = Array.from({ length: 64 }, (_, index) => [10 ** (index - 32), -1.5 * 10 ** (index - 32)]).flat();
  const numbers = [...new Set([...random, ...powers, 1e15, 1e-5, 1e-7, 1e21, 0.1, 0])];
  const missed = new Set<string>();
  for (const number of numbers) {
    const single = Math.fround(number);
    const wanted = { f8: number, n: number, ...(Number.isFinite(single) && single !== 0 && { f4: single }) };
    for (const [column, value] of Object.entries(wanted))
      for (const given of [value, String(value)]) {
        const label = `${column} = ${typeof given} ${given}`;
        missed.add(label);
        watch.subscribe(watcher, { [column]: given }, () => void missed.delete(label));
      }
  }
  await db.sql('insert into numbers_of_all_sizes (f8) select unnest($1::text[])::float8', [numbers.map(String)]);
  await db.sql('insert into numbers_of_all_sizes (n) select unnest($1::text[])::numeric', [numbers.map(String)]);
  const singles = numbers.map(Math.fround).filter((number) => Number.isFinite(number) && number !== 0);
  await db.sql('insert into numbers_of_all_sizes (f4) select unnest($1::text[])::float4', [singles.map(String)]);
  await settled(db, watch);
  expect([...missed]).toEqual([]);
});

test('citext in any case, including a domain over it and a key', async ({ skip }) => {
  const found = await db.sql(`select from pg_available_extensions where name = 'citext'`);
  if (found.length === 0) skip('the server has no citext');
  await db.sql('create extension citext');
  await db.sql(`create domain address as citext; create table people (name citext primary key, email address)`);
  const people = tableOf()({ tableName: 'people', primaryKey: 'name' });
  const watch = watchOf(
    defineWatchers([
      [people, 'inserted', { extraColumns: ['email'] }],
      [people, 'deleted'],
    ]),
  );
  const matched: string[] = [];
  watch.subscribe('people:inserted', { email: 'A@b.C' }, () => void matched.push('email'));
  await watch.start();
  watch.subscribe('people:deleted', 'ANNA', () => void matched.push('id'));
  await db.sql(`insert into people values ('Anna', 'a@B.c')`);
  await db.sql('delete from people');
  await settled(db, watch);
  expect(matched).toEqual(['email', 'id']);
  expect(await expectOwnValuesToMatch('of_citext', optionalValues.citext)).toBe(4);
});

test('timestamps and scalars in JSON, as JavaScript writes them', async () => {
  await db.sql('create table moments (id serial primary key, at timestamptz, day date, doc jsonb)');
  const watch = watchOf(defineWatchers([['moments', 'inserted', { extraColumns: ['at', 'day', 'doc'] }]]));
  const matched: string[] = [];
  const filters = { at: '2026-02-28T12:30:00.120Z', day: '2026-02-28', doc: 'a "b"' };
  for (const [column, value] of Object.entries(filters))
    watch.subscribe('moments:inserted', { [column]: value } as never, () => void matched.push(column));
  await watch.start();
  await db.sql(
    `insert into moments (at, day, doc) values ('2026-02-28 18:00:00.12+05:30', '2026-02-28', '"a \\"b\\""')`,
  );
  await settled(db, watch);
  expect(matched.toSorted()).toEqual(['at', 'day', 'doc']);
});
