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

describe('a watcher is bound to', () => {
  test("the table with its schema and name, and to that table's primary key unless it names another key", () => {
    const erp = usersTable({ oid: 2, schema: 'erp' });
    const { bound, issues } = bind([erp, users], ['users', 'inserted'], ['erp.users', 'updated']);
    expect(issues).toEqual([]);
    expect(bound.map((one) => [one.watcher.name, one.table, one.primaryKey])).toEqual([
      ['users:inserted', users, ['id']],
      ['erp.users:updated', erp, ['id']],
    ]);
  });

  test('the columns that its names in code refer to', () => {
    const byHand = table<{ key: number; role: number }>()({
      tableName: 'users', primaryKey: 'key', columnMap: { key: 'id', role: 'role_id' },
    }); // prettier-ignore
    const { bound, issues } = bind([users], [byHand, 'updated', { extraColumns: ['role'] }]);
    expect(issues).toEqual([]);
    expect(bound[0]!.primaryKey).toEqual(['key']);
  });
});

describe('a table is refused', () => {
  test('if it does not exist', () => {
    expect(messages([users], ['Users', 'updated'])).toEqual(['Users:updated: table "public"."Users" does not exist']);
    expect(bind([users], ['Users', 'updated']).bound).toEqual([]);
  });

  test.each([
    ['v', 'is a view'],
    ['m', 'is a materialized view'],
    ['f', 'is a foreign table'],
  ])('if it is of kind %s, with no other problem', (kind, what) => {
    const view = usersTable({ kind, primaryKey: undefined, uniqueKeys: [], replicaIdentity: 'nothing' });
    expect(messages([view], ['users', 'updated', { extraColumns: ['none'] }])).toEqual([
      `users:updated: "public"."users" ${what}. PostgreSQL does not replicate its changes`,
    ]);
  });

  test.each([
    ['u', 'is unlogged', 'ALTER TABLE "public"."users" SET LOGGED;'],
    ['t', 'is temporary', 'Watch a permanent table.'],
  ])('if it has persistence %s: its changes are not in the WAL', (persistence, what, solution) => {
    const { issues } = bind([usersTable({ persistence })], ['users', 'updated']);
    expect(issues).toMatchObject([{ message: expect.stringContaining(what), solution, table: 'users' }]);
  });

  test('but not if it is an ordinary or a partitioned table', () => {
    for (const kind of ['r', 'p']) expect(messages([usersTable({ kind })], ['users', 'updated'])).toEqual([]);
  });

  test('if it has no primary key and the watcher names none', () => {
    const keyless = usersTable({ primaryKey: undefined, replicaIdentity: 'full' });
    expect(messages([keyless], ['users', 'inserted'])).toEqual(['users:inserted: "public"."users" has no primary key']);
    expect(messages([keyless], [table()({ tableName: 'users', primaryKey: 'id' }), 'inserted'])).toEqual([]);
  });

  test('if it is watched together with its partition', () => {
    const root = usersTable({ kind: 'p' });
    const leaf = usersTable({ oid: 2, name: 'users_1', ancestors: [7, root.oid] });
    const other = usersTable({ oid: 3, name: 'users_2', ancestors: [root.oid] });
    expect(messages([root, leaf], ['users', 'updated'], ['users', 'inserted'], ['users_1', 'inserted'])).toEqual([
      '"public"."users_1" is a partition of "public"."users", which is watched as well: PostgreSQL publishes a change under one of them only',
    ]);
    expect(messages([leaf, other], ['users_1', 'inserted'], ['users_2', 'inserted'])).toEqual([]);
  });
});

describe('a key that a watcher names is refused', () => {
  const keyed = (tables: readonly Table[], ...primaryKey: string[]) =>
    bind(tables, [table()({ tableName: 'users', primaryKey }), 'inserted']).issues;

  test('if it can be null', () => {
    const unique = usersTable({ uniqueKeys: [['role_id', 'bio']] });
    expect(keyed([unique], 'role_id', 'bio')).toMatchObject([
      {
        message: `users:inserted: the key column 'role_id', 'bio' of "public"."users" can be null`,
        solution:
          'ALTER TABLE "public"."users" ALTER COLUMN "role_id" SET NOT NULL; ALTER TABLE "public"."users" ALTER COLUMN "bio" SET NOT NULL;',
      },
    ]);
  });

  test('if a part of it can be null', () => {
    expect(keyed([users], 'id', 'bio')).toMatchObject([
      { message: expect.stringContaining("the key column 'bio' of") },
    ]);
  });

  test('if it is not unique', () => {
    expect(keyed([users], 'email')).toMatchObject([
      {
        message: `users:inserted: 'email' of "public"."users" is not unique`,
        solution: 'ALTER TABLE "public"."users" ADD UNIQUE ("email");',
      },
    ]);
    expect(keyed([usersTable({ uniqueKeys: [['email', 'role_id']] })], 'email')).toHaveLength(1);
  });

  test('but not if it contains a unique key, with or without other columns', () => {
    expect(keyed([users], 'email', 'id')).toEqual([]);
    expect(keyed([usersTable({ uniqueKeys: [['email']] })], 'email')).toEqual([]);
  });

  test('but not if it is unique at the end of each transaction: a deferrable key, primary or not', () => {
    const deferrable = usersTable({ uniqueKeys: [], deferrableKeys: [['id'], ['email']] });
    for (const key of ['id', 'email']) expect(keyed([deferrable], key)).toEqual([]);
  });

  test('if its column does not exist, and then for no other reason', () => {
    expect(keyed([users], 'uid')).toMatchObject([{ message: `users:inserted: "public"."users" has no column 'uid'` }]);
  });
});

describe('a column is refused', () => {
  test('if it does not exist: once, with its name in the database', () => {
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

  test('if it does not exist, whatever it is needed for', () => {
    const full = usersTable({ replicaIdentity: 'full' });
    const missing = `x: "public"."users" has no column 'age'`;
    expect(messages([full], ['users', 'updated', { label: 'x', extraColumns: ['age'] }])).toEqual([missing]);
    expect(messages([full], ['users', 'updated', { label: 'x', triggerColumns: ['age'] }])).toEqual([missing]);
  });

  test.each([
    ['stored', 17, 'a generated column'],
    ['virtual', 18, 'a virtual generated column'],
  ] as const)('if it is generated and %s: PostgreSQL %i does not send it', (generated, major, what) => {
    const watchers = watchersFor(['users', 'inserted', { extraColumns: ['role_id'] }]);
    const { issues } = bindWatchers(watchers, [changed('role_id', { generated })], { major });
    expect(issues).toMatchObject([
      { message: `users:inserted: 'role_id' of "public"."users" is ${what}, which PostgreSQL ${major} does not send` },
    ]);
  });

  test('but not if it is stored and generated from PostgreSQL 18 on, or if no watcher needs it', () => {
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
