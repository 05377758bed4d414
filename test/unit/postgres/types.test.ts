import pg from 'pg';
import type { Client } from 'pg';
import { expect, test, vi } from 'vitest';
import { TypeCatalog } from '../../../src/postgres/types.ts';
import { oids } from '../../support/sample-tables.ts';

const domain = 16_500;
const unknown = 16_600;

/** A server with one domain over numeric. */
function serving() {
  const query = vi.fn((_: string, [asked]: [number[]]) =>
    Promise.resolve({ rows: asked.includes(domain) ? [{ oid: domain, base: oids.numeric }] : [] }),
  );
  return { query, client: { query } as unknown as Client };
}

test('built-in types are known without a query; others are looked up once', async () => {
  const { client, query } = serving();
  const types = new TypeCatalog(undefined);
  expect([types.knows(oids.text), types.knows(9999), types.knows(10_000), types.knows(domain)]).toEqual([
    true, true, false, false,
  ]); // prettier-ignore
  await types.resolve(client, [oids.text, oids.int4]);
  expect(query).not.toHaveBeenCalled();
  await types.resolve(client, [oids.text, domain, unknown, domain]);
  await types.resolve(client, [domain, unknown]);
  expect(query.mock.calls.map(([, [asked]]) => asked)).toEqual([[domain, unknown]]);
  expect([types.knows(domain), types.knows(unknown)]).toEqual([true, true]);
});

test('a domain has the parser of its base type, as in pg; a dropped type has its own', async () => {
  const { client } = serving();
  const getTypeParser = vi.fn((oid: number) => (text: string) => `${oid}:${text}`);
  const types = new TypeCatalog({ getTypeParser } as unknown as pg.CustomTypesConfig);
  await types.resolve(client, [domain, unknown]);
  expect([types.baseType(domain), types.baseType(unknown), types.baseType(oids.int4)]).toEqual([
    oids.numeric, unknown, oids.int4,
  ]); // prettier-ignore
  expect([types.parser(domain)('1'), types.parser(unknown)('x')]).toEqual([`${oids.numeric}:1`, `${unknown}:x`]);
  expect(getTypeParser).toHaveBeenCalledWith(oids.numeric, 'text');
});

test("without the user's own parsers, values are parsed like in pg", () => {
  const types = new TypeCatalog(undefined);
  for (const [oid, text] of [[oids.int4, '42'], [oids.bool, 't'], [oids.timestamptz, '2024-01-01 00:00:00+00'], [unknown, 'x']] as const)
    expect(types.parser(oid)(text)).toEqual((pg.types.getTypeParser(oid, 'text') as (text: string) => unknown)(text));
}); // prettier-ignore

test('unknown types that the stream describes are looked up with their names, once', async () => {
  const { client, query } = serving();
  const types = new TypeCatalog(undefined);
  const describe = (oid: number) => types.describe({ tag: 'type', oid, schema: 'pg_catalog', name: `type_${oid}` });
  for (const oid of [domain, oids.text]) describe(oid);
  await types.resolve(client, [domain, unknown]);
  describe(domain); // known now
  await types.resolve(client, [unknown + 1]);
  expect(query.mock.calls.map(([, values]) => values)).toEqual([
    [[domain, unknown], [domain], ['pg_catalog'], [`type_${domain}`]],
    [[unknown + 1], [], [], []],
  ]);
});
