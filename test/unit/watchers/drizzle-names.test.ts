/** Drizzle tables: the names in their types, and the names in the database. */
import { toCamelCase, toSnakeCase } from 'drizzle-orm/casing';
import { aliasedTable } from 'drizzle-orm';
import { integer, pgSchema, pgTable, pgTableCreator, text } from 'drizzle-orm/pg-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BoundWatcher, bindWatchers } from '../../../src/watchers/bind.ts';
import { casedNames } from '../../../src/watchers/drizzle.ts';
import { referTo, settled, table, type TableReference } from '../../../src/watchers/table.ts';
import { checkEntries } from '../../../src/watchers/validate.ts';
import { column, oids, usersTable } from '../../support/sample-tables.ts';

const named = (given: unknown) => checkEntries([[given, 'updated']]).watchers[0]!;
const columns = { id: integer().primaryKey(), roleId: integer(), address2: text(), byName: text('BY NAME') };
const has =
  (...names: string[]) =>
  (name: string) =>
    names.includes(name);

describe('a table', () => {
  test('of pgTableCreator has the name of its types', () => {
    const users = pgTableCreator((name) => `app_${name}`)('users', columns);
    expect(named(users)).toMatchObject({ name: 'users:updated', table: { schema: 'public', name: 'app_users' } });
    expect(named(table(users)({ primaryKey: 'roleId' }))).toMatchObject({
      name: 'users:updated',
      table: { name: 'app_users', primaryKey: ['roleId'] },
    });
  });

  test('of a schema has the name schema.table', () => {
    const users = pgSchema('erp').table('users', columns);
    expect(named(users)).toMatchObject({ name: 'erp.users:updated', table: { schema: 'erp', name: 'users' } });
  });

  test('with an alias is still the same table', () => {
    const users = aliasedTable(pgTable('users', columns), 'u');
    expect(named(users)).toMatchObject({ name: 'u:updated', table: { name: 'users' } });
  });
});

describe('a column without an explicit name', () => {
  const reference = referTo(pgTable('users', columns)) as TableReference;

  test('gets the casing that the table has', () => {
    const now = (...names: string[]) => settled(reference, has(...names)).columnMap;
    const byName = 'BY NAME';
    expect(now('id', 'roleId', 'address2')).toEqual({ id: 'id', roleId: 'roleId', address2: 'address2', byName });
    expect(now('id', 'role_id', 'address2')).toEqual({ id: 'id', roleId: 'role_id', address2: 'address2', byName });
    expect(now()).toEqual({ id: 'id', roleId: 'roleId', address2: 'address2', byName });
  });

  test('gets the casing of the other columns, even if the table also has the other name', () => {
    const { columnMap } = settled(
      referTo(pgTable('users', { ...columns, teamId: integer() })) as TableReference,
      has('id', 'role_id', 'roleId', 'team_id'),
    );
    expect(columnMap).toMatchObject({ roleId: 'role_id', teamId: 'team_id' });
  });

  test('gets the name that columnMap gives it', () => {
    const mapped = table(pgTable('users', columns))({ columnMap: { roleId: 'group', byName: 'by_name' } });
    expect(named(mapped)).toMatchObject({ table: { primaryKey: ['id'] } });
    const { columnMap } = settled(named(mapped).table, has('id', 'role_id', 'group'));
    expect(columnMap).toMatchObject({ id: 'id', roleId: 'group', byName: 'by_name' });
  });

  test('gets the name that Drizzle would give it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from("abXYZ019_'$")), minLength: 1, maxLength: 12 }),
        (property) => {
          for (const name of [toSnakeCase(property), toCamelCase(property)])
            if (name !== property) expect(casedNames([property], has(name))).toEqual([[property, name]]);
        },
      ),
    );
  });
});

describe('a column that exists in the table in both casings', () => {
  const shape = { id: integer().primaryKey(), userId: integer() };
  const both = usersTable({
    columns: ['id', 'userId', 'user_id'].map((name) => column(name, oids.int4, { notNull: true })),
  });
  const bind = (given: unknown, options: object = {}, now = both, known?: BoundWatcher[]) =>
    bindWatchers(checkEntries([[given, 'inserted', options]]).watchers, [now], { major: 17 }, known);
  const names = ({ bound, issues }: ReturnType<typeof bind>) => [
    bound[0]?.watcher.table.columnMap['userId'],
    issues.map(({ message }) => message),
  ];

  test('is an error that names both, so that the wrong one is never used', () => {
    for (const properties of [shape, { ...shape, user_name: text() }])
      expect(bind(pgTable('users', properties), { extraColumns: ['userId'] }).issues).toMatchObject([
        {
          message: `users:inserted: 'userId' has no explicit name in Drizzle, and could be 'userId' or 'user_id' of "public"."users": only drizzle() knows its \`casing\``,
          solution: expect.stringContaining(`columnMap: { userId: 'user_id' }`),
        },
      ]);
  });

  test('is decided by columnMap or Drizzle, and is accepted if no watcher needs it', () => {
    const extraColumns = ['userId'];
    for (const name of ['userId', 'user_id']) {
      const mapped = table(pgTable('users', shape))({ columnMap: { userId: name } });
      expect(names(bind(mapped, { extraColumns }))).toEqual([name, []]);
      const inDrizzle = pgTable('users', { ...shape, userId: integer(name) });
      expect(names(bind(inDrizzle, { extraColumns }))).toEqual([name, []]);
    }
    expect(bind(pgTable('users', shape)).issues).toEqual([]);
  });

  test('keeps its name while the watch runs, even if the other column is added', () => {
    const users = pgTable('users', shape);
    const extraColumns = ['userId'];
    for (const name of ['userId', 'user_id']) {
      const columns = ['id', name].map((each) => column(each, oids.int4, { notNull: true }));
      const { bound } = bind(users, { extraColumns }, usersTable({ columns }));
      expect(names(bind(users, { extraColumns }, both, bound))).toEqual([name, []]);
    }
  });
});
