import { describe, expect, test } from 'vitest';
import type { Column, Table } from '../../../src/postgres/tables.ts';
import { bindWatchers } from '../../../src/watchers/bind.ts';
import { table } from '../../../src/watchers/table.ts';
import type { WatcherEntry } from '../../../src/types/watchers.ts';
import { column, oids, usersTable, watchersFor } from '../../support/sample-tables.ts';

const bind = (tables: readonly Table[], ...entries: readonly WatcherEntry[]) =>
  bindWatchers(watchersFor(...entries), tables, { major: 17 });
const messages = (...given: Parameters<typeof bind>) => bind(...given).issues.map(({ message }) => message);
const users = usersTable();
const changed = (name: string, more: Partial<Column>) =>
  usersTable({ columns: users.columns.map((one) => (one.name === name ? { ...one, ...more } : one)) });

describe('a watcher gets', () => {
  test('the table of its schema and name, and its primary key unless it names one', () => {
    const erp = usersTable({ oid: 2, schema: 'erp' });
    const { bound, issues } = bind([erp, users], ['users', 'inserted'], ['erp.users', 'updated']);
    expect(issues).toEqual([]);
    expect(bound.map((one) => [one.watcher.name, one.table, one.primaryKey])).toEqual([
      ['users:inserted', users, ['id']],
      ['erp.users:updated', erp, ['id']],
    ]);
  });

  test('its columns by their names in code', () => {
    const byHand = table<{ key: number; role: number }>()({
      tableName: 'users', primaryKey: 'key', columnMap: { key: 'id', role: 'role_id' },
    }); // prettier-ignore
    const { bound, issues } = bind([users], [byHand, 'updated', { extraColumns: ['role'] }]);
    expect(issues).toEqual([]);
    expect(bound[0]!.primaryKey).toEqual(['key']);
  });
});

describe('a table is refused', () => {
  test('that there is not', () => {
    expect(messages([users], ['Users', 'updated'])).toEqual(['Users:updated: table "public"."Users" does not exist']);
    expect(bind([users], ['Users', 'updated']).bound).toEqual([]);
  });

  test.each([
    ['v', 'is a view'],
    ['m', 'is a materialized view'],
    ['f', 'is a foreign table'],
  ])('of kind %s, with one problem and no more', (kind, what) => {
    const view = usersTable({ kind, primaryKey: undefined, uniqueKeys: [], replicaIdentity: 'nothing' });
    expect(messages([view], ['users', 'updated', { extraColumns: ['none'] }])).toEqual([
      `users:updated: "public"."users" ${what}. PostgreSQL does not replicate its changes`,
    ]);
  });

  test.each([
    ['u', 'is unlogged', 'ALTER TABLE "public"."users" SET LOGGED;'],
    ['t', 'is temporary', 'Watch a permanent table.'],
  ])('of persistence %s, whose changes are not in the WAL', (persistence, what, solution) => {
    const { issues } = bind([usersTable({ persistence })], ['users', 'updated']);
    expect(issues).toMatchObject([{ message: expect.stringContaining(what), solution, table: 'users' }]);
  });

  test('but neither an ordinary nor a partitioned one', () => {
    for (const kind of ['r', 'p']) expect(messages([usersTable({ kind })], ['users', 'updated'])).toEqual([]);
  });

  test('without a primary key, unless one is named', () => {
    const keyless = usersTable({ primaryKey: undefined, replicaIdentity: 'full' });
    expect(messages([keyless], ['users', 'inserted'])).toEqual(['users:inserted: "public"."users" has no primary key']);
    expect(messages([keyless], [table()({ tableName: 'users', primaryKey: 'id' }), 'inserted'])).toEqual([]);
  });

  test('that is watched together with its partition', () => {
    const root = usersTable({ kind: 'p' });
    const leaf = usersTable({ oid: 2, name: 'users_1', ancestors: [7, root.oid] });
    const other = usersTable({ oid: 3, name: 'users_2', ancestors: [root.oid] });
    expect(messages([root, leaf], ['users', 'updated'], ['users', 'inserted'], ['users_1', 'inserted'])).toEqual([
      '"public"."users_1" is a partition of "public"."users", which is watched as well: PostgreSQL publishes a change under one of them only',
    ]);
    expect(messages([leaf, other], ['users_1', 'inserted'], ['users_2', 'inserted'])).toEqual([]);
  });
});

describe('a key that is named is refused', () => {
  const keyed = (tables: readonly Table[], ...primaryKey: string[]) =>
    bind(tables, [table()({ tableName: 'users', primaryKey }), 'inserted']).issues;

  test('when it may be null', () => {
    const unique = usersTable({ uniqueKeys: [['role_id', 'bio']] });
    expect(keyed([unique], 'role_id', 'bio')).toMatchObject([
      {
        message: `users:inserted: the key column 'role_id', 'bio' of "public"."users" can be null`,
        solution:
          'ALTER TABLE "public"."users" ALTER COLUMN "role_id" SET NOT NULL; ALTER TABLE "public"."users" ALTER COLUMN "bio" SET NOT NULL;',
      },
    ]);
  });

  test('when a part of it may be', () => {
    expect(keyed([users], 'id', 'bio')).toMatchObject([
      { message: expect.stringContaining("the key column 'bio' of") },
    ]);
  });

  test('when it is not unique', () => {
    expect(keyed([users], 'email')).toMatchObject([
      {
        message: `users:inserted: 'email' of "public"."users" is not unique`,
        solution: 'ALTER TABLE "public"."users" ADD UNIQUE ("email");',
      },
    ]);
    expect(keyed([usersTable({ uniqueKeys: [['email', 'role_id']] })], 'email')).toHaveLength(1);
  });

  test('but not when it holds a unique key, with more columns or not', () => {
    expect(keyed([users], 'email', 'id')).toEqual([]);
    expect(keyed([usersTable({ uniqueKeys: [['email']] })], 'email')).toEqual([]);
  });

  test('and not when it is unique at the end of each transaction: a deferrable key, primary or not', () => {
    const deferrable = usersTable({ uniqueKeys: [], deferrableKeys: [['id'], ['email']] });
    for (const key of ['id', 'email']) expect(keyed([deferrable], key)).toEqual([]);
  });

  test('when there is no such column, and then for nothing else', () => {
    expect(keyed([users], 'uid')).toMatchObject([{ message: `users:inserted: "public"."users" has no column 'uid'` }]);
  });
});

describe('a column is refused', () => {
  test('that there is not, once, by its name in the database', () => {
    const byHand = table<{ id: number; role: number }>()({
      tableName: 'users', primaryKey: 'id', columnMap: { role: 'ROLE' },
    }); // prettier-ignore
    const full = usersTable({ replicaIdentity: 'full' });
    const { issues } = bind(
      [full],
      [byHand, 'updated', { label: 'x', extraColumns: ['role'], triggerColumns: ['role'] }],
    );
    expect(issues).toEqual([
      {
        message: `x: "public"."users" has no column 'ROLE'`,
        solution: 'The table has: id, email, role_id, bio.',
        watcher: 'x',
        table: 'users',
        column: 'ROLE',
      },
    ]);
  });

  test('that there is not, whatever it was named for', () => {
    const full = usersTable({ replicaIdentity: 'full' });
    const missing = `x: "public"."users" has no column 'age'`;
    expect(messages([full], ['users', 'updated', { label: 'x', extraColumns: ['age'] }])).toEqual([missing]);
    expect(messages([full], ['users', 'updated', { label: 'x', triggerColumns: ['age'] }])).toEqual([missing]);
  });

  test.each([
    ['stored', 17, 'a generated column'],
    ['virtual', 18, 'a virtual generated column'],
  ] as const)('that is generated and %s, which PostgreSQL %i does not send', (generated, major, what) => {
    const watchers = watchersFor(['users', 'inserted', { extraColumns: ['role_id'] }]);
    const { issues } = bindWatchers(watchers, [changed('role_id', { generated })], { major });
    expect(issues).toMatchObject([
      { message: `users:inserted: 'role_id' of "public"."users" is ${what}, which PostgreSQL ${major} does not send` },
    ]);
  });

  test('but not a stored generated one from PostgreSQL 18 on, nor one that nobody watches', () => {
    const stored = [changed('role_id', { generated: 'stored' })];
    const watchers = watchersFor(['users', 'inserted', { extraColumns: ['role_id'] }]);
    expect(bindWatchers(watchers, stored, { major: 18 }).issues).toEqual([]);
    expect(messages(stored, ['users', 'inserted'])).toEqual([]);
  });
});

test('all problems of all watchers are found at once', () => {
  const wide = usersTable({ columns: [...users.columns, column('n', oids.int4, { generated: 'stored' })] });
  expect(
    messages([wide], ['posts', 'inserted'], ['users', 'inserted', { extraColumns: ['x', 'n'] }], ['users', 'updated']),
  ).toHaveLength(3);
});
