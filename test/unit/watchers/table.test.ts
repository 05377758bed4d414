import { integer, pgSchema, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { describe, expect, test, vi } from 'vitest';
import { ConfigurationError } from '../../../src/errors.ts';
import { referTo, table } from '../../../src/watchers/table.ts';

describe('a name', () => {
  test.each([
    ['users', 'public', 'users'],
    ['Users', 'public', 'Users'],
    ['Order Lines', 'public', 'Order Lines'],
    ['erp.lines', 'erp', 'lines'],
    ['erp.lines.2024', 'erp', 'lines.2024'],
    ['"users"', 'public', '"users"'],
  ])('%s is used literally, except that a first dot separates schema and table', (given, schema, name) => {
    expect(referTo(given)).toEqual({ schema, name, primaryKey: undefined, columnMap: {}, drizzle: undefined });
  });

  test.each(['', '.', '.users', 'public.'])('%j is refused', (given) => {
    expect(referTo(given)).toBe(`invalid table name ${JSON.stringify(given)}: expected 'table' or 'schema.table'`);
  });
});

describe('a table made with table()', () => {
  test('has a key, and may have a schema and a column map', () => {
    const lines = table<{ order_id: number; line: number; qty: number }>()({
      tableName: 'Order.Lines',
      schema: 'erp',
      primaryKey: ['order_id', 'line'],
      columnMap: { qty: 'QTY' },
    });
    expect(referTo(lines)).toEqual({
      schema: 'erp',
      name: 'Order.Lines',
      primaryKey: ['order_id', 'line'],
      columnMap: { qty: 'QTY' },
      drizzle: undefined,
    });
    expect(referTo(table()({ tableName: 'users', primaryKey: 'id' }))).toMatchObject({
      schema: 'public',
      primaryKey: ['id'],
      columnMap: {},
    });
  });

  test('has each key column once', () => {
    expect(referTo({ tableName: 'users', primaryKey: ['id', 'id'] })).toMatchObject({ primaryKey: ['id'] });
  });

  test('is a copy of the given object, which may change later', () => {
    const definition = { tableName: 'users', primaryKey: 'id' } as const;
    expect(table()(definition)).not.toBe(definition);
  });

  test.each([
    [{ primaryKey: 'id' }, 'table()({ tableName }) is missing'],
    [{ tableName: '', primaryKey: 'id' }, 'table()({ tableName }) is missing'],
    [{ tableName: 'users', schema: '', primaryKey: 'id' }, `schema of table 'users' must be a name, not ""`],
    [{ tableName: 'users', schema: 7, primaryKey: 'id' }, "schema of table 'users' must be a name, not 7"],
    [{ tableName: 'users' }, "primaryKey of table 'users' must be a column's name or a list of names, not undefined"],
    [
      { tableName: 'users', primaryKey: [] },
      "primaryKey of table 'users' must be a column's name or a list of names, not []",
    ],
    [{ tableName: 'users', primaryKey: ['id', 7] }, "must be a column's name or a list of names, not [ 'id', 7 ]"],
  ])('%j is refused with a reason', (definition, message) => {
    expect(referTo(definition)).toEqual(expect.stringContaining(message));
  });
});

describe('a Drizzle table', () => {
  const users = pgTable('users', { id: integer().primaryKey(), roleId: integer('role_id') });
  const stock = pgSchema('erp').table('stock', { partId: integer('part_id'), place: text() }, (own) => [
    primaryKey({ columns: [own.partId, own.place] }),
  ]);

  test('has key and columns by property names, mapped to names in the database', () => {
    expect(referTo(users)).toMatchObject({
      schema: 'public',
      name: 'users',
      primaryKey: ['id'],
      columnMap: { id: 'id', roleId: 'role_id' },
    });
    expect(Object.keys((referTo(users) as { drizzle: { columns: object } }).drizzle.columns)).toEqual(['id', 'roleId']);
  });

  test('without a marked primary key needs one from table()', () => {
    expect(referTo(stock)).toContain("'stock' has no primary key");
    expect(referTo(table(stock)({ primaryKey: ['partId', 'place'] }))).toMatchObject({
      schema: 'erp',
      name: 'stock',
      primaryKey: ['partId', 'place'],
      columnMap: { partId: 'part_id', place: 'place' },
    });
    expect(referTo(table(stock)({ primaryKey: 'place' }))).toMatchObject({ primaryKey: ['place'] });
    expect(table(users)({ primaryKey: 'id' })).toMatchObject({
      tableName: 'users',
      schema: 'public',
      primaryKey: 'id',
    });
  });

  test('is the only thing that table(…) accepts', () => {
    for (const other of [{}, { tableName: 'users' }, 'users'])
      expect(() => table(other as unknown as typeof users)).toThrow(ConfigurationError);
  });
});

test.each([undefined, null, 7, true])('%s is not a table', (given) => {
  expect(referTo(given)).toBe(`a table must be a name, the result of table(), or a Drizzle table, not ${given}`);
});

test('a Drizzle table from table() of another copy of the package is recognized', async () => {
  const stock = pgTable('stock', { partId: integer('part_id'), place: text('the_place') });
  vi.resetModules();
  const other = await import('../../../src/watchers/table.ts');
  expect(other.table).not.toBe(table);
  const reference = referTo(other.table(stock)({ primaryKey: ['partId', 'place'] }));
  expect(reference).toMatchObject({ columnMap: { partId: 'part_id', place: 'the_place' } });
});
