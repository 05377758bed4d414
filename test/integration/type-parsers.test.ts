/** The application's parsers in pg decide the values of events, and nothing else. */
import { type ClientConfig, type CustomTypesConfig, types as pgTypes } from 'pg';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorderOn } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const columns = ['big', 'domain', 'enum', 'enum_domain', 'enums', 'at', 'document', 'flag', 'txt', 'many'];

beforeAll(async () => {
  await db.sql(`create type shade as enum ('dark', 'light'); create domain shade_domain as shade;
    create domain huge as int8; create domain huger as huge;
    create table parsed (
      id int primary key, big int8, domain huger, enum shade, enum_domain shade_domain, enums shade[],
      at timestamptz, document jsonb, flag bool, txt text, many int4[]
    );
    alter table parsed replica identity full`);
});

/** Delivers a row as inserted, updated and deleted, and compares it with the result of a client with the same configuration. */
async function expectSameParsers(config: ClientConfig) {
  const connection = { connectionString: db.url, ...config };
  const watch = watchOf(
    defineWatchers([
      ['parsed', 'inserted', { extraColumns: columns }],
      ['parsed', 'updated', { extraColumns: columns }],
      ['parsed', 'deleted', { extraColumns: columns }],
    ]),
    { connection },
  );
  const inserted = recorderOn(watch, 'parsed:inserted');
  const updated = recorderOn(watch, 'parsed:updated');
  const deleted = recorderOn(watch, 'parsed:deleted');
  await watch.start();
  await db.sql(`insert into parsed values
    (1, 9007199254740993, -7, 'dark', 'light', '{dark,NULL}', '2026-01-01 12:00+00', '{"a": 1}', true, 'x', '{1,2}'),
    (2, null, null, null, null, null, null, null, null, null, null)`);
  const { rows } = await (await db.client(config)).query('select * from parsed');
  await db.sql('update parsed set id = id');
  await db.sql('delete from parsed');
  await settled(db, watch);
  expect(inserted.all).toStrictEqual(rows);
  expect(updated.all).toStrictEqual(rows);
  expect(updated.contexts.map(({ previous }) => previous)).toStrictEqual(rows);
  expect(deleted.all).toStrictEqual(rows);
  return inserted.all[0];
}

test("connection.types parses built-in types, domains over them and the application's own", async () => {
  const [shade] = await db.sql<{ oid: number; array: number; domain: number }>(
    `select 'shade'::regtype::oid as oid, 'shade[]'::regtype::oid as array, 'shade_domain'::regtype::oid as domain`,
  );
  const own: Record<number, (text: string) => unknown> = {
    [pgTypes.builtins.INT8]: BigInt,
    [pgTypes.builtins.TIMESTAMPTZ]: (text) => ({ text }),
    [shade!.oid]: (text) => Symbol.for(text),
    [shade!.array]: (text) => text.slice(1, -1).split(','),
    [shade!.domain]: () => 'pg never asks for the parser of a domain',
  };
  const types = { getTypeParser: (oid: number) => own[oid] ?? pgTypes.getTypeParser(oid) } as CustomTypesConfig;
  const event = await expectSameParsers({ types });
  expect(event).toMatchObject({
    big: 9007199254740993n, domain: -7n, enum: Symbol.for('dark'), enum_domain: Symbol.for('light'),
    at: { text: '2026-01-01 12:00:00+00' },
  }); // prettier-ignore
});

test('pg.types.setTypeParser applies', async () => {
  for (const oid of [pgTypes.builtins.INT8, pgTypes.builtins.JSONB]) {
    const before = pgTypes.getTypeParser(oid, 'text');
    onTestFinished(() => pgTypes.setTypeParser(oid, 'text', before));
  }
  pgTypes.setTypeParser(pgTypes.builtins.INT8, BigInt);
  pgTypes.setTypeParser(pgTypes.builtins.JSONB, (text) => `raw ${text}`);
  const event = await expectSameParsers({});
  expect(event).toMatchObject({ big: 9007199254740993n, domain: -7n, document: 'raw {"a": 1}' });
});

test("parsers that change every type do not affect walwatch's own queries", async () => {
  const types = { getTypeParser: () => (text: string) => ({ text }) } as unknown as CustomTypesConfig;
  const event = await expectSameParsers({ types });
  expect(event).toMatchObject({ id: { text: '1' }, flag: { text: 't' } });
});

test("global parsers do not affect walwatch's own queries either", async () => {
  for (const oid of [pgTypes.builtins.INT4, pgTypes.builtins.OID, pgTypes.builtins.JSON]) {
    const before = pgTypes.getTypeParser(oid, 'text');
    onTestFinished(() => pgTypes.setTypeParser(oid, 'text', before));
    pgTypes.setTypeParser(oid, (text) => `raw ${text}`);
  }
  const event = await expectSameParsers({});
  expect(event).toMatchObject({ id: 'raw 1' });
});
