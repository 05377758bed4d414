import { describe, expect, test } from 'vitest';
import type { ReplicaIdentity, Table } from '../../../src/postgres/tables.ts';
import { bindWarnings, bindWatchers } from '../../../src/watchers/bind.ts';
import { table } from '../../../src/watchers/table.ts';
import type { UpdateType, WatcherEntry, WatcherOptions } from '../../../src/types/watchers.ts';
import { boundTo, column, oids, usersTable, watchersFor } from '../../support/sample-tables.ts';

const full = 'ALTER TABLE "public"."users" REPLICA IDENTITY FULL;';

function problems(replicaIdentity: ReplicaIdentity, ...entries: readonly WatcherEntry[]) {
  return bindWatchers(watchersFor(...entries), [usersTable({ replicaIdentity })], { major: 17 }).identity;
}
const missing = (...entry: [UpdateType, WatcherOptions?]) =>
  (['default', 'index', 'full'] as const).map((identity) =>
    problems(identity, ['users', ...entry] as WatcherEntry).map(
      ({ message }) => /old value of (.*), because/.exec(message)?.[1],
    ),
  );

describe('old values are needed', () => {
  test('of trigger columns', () => {
    expect(missing('updated', { label: 'x', triggerColumns: ['id', 'email', 'role_id'] })).toEqual([
      ["'email', 'role_id'"],
      ["'role_id'"],
      [],
    ]);
  });

  test("of a deleted row's extra columns", () => {
    expect(missing('deleted', { extraColumns: ['email', 'role_id'] })).toEqual([
      ["'email', 'role_id'"],
      ["'role_id'"],
      [],
    ]);
    expect(missing('deleted')).toEqual([[], [], []]);
  });

  test("of a deleted row's key, which REPLICA IDENTITY USING INDEX may not cover", () => {
    const byName = table()({ tableName: 'users', primaryKey: 'role_id' });
    const keyed = usersTable({
      uniqueKeys: [['role_id']],
      replicaIdentity: 'index',
      columns: usersTable().columns.map((one) => ({ ...one, notNull: true })),
    });
    const { identity } = bindWatchers(watchersFor([byName, 'deleted']), [keyed], { major: 17 });
    expect(identity).toMatchObject([
      { message: expect.stringContaining("the old value of 'role_id'"), solution: full },
    ]);
  });

  test("of no other columns: neither of an update's extra columns nor of an insert's", () => {
    expect(missing('updated', { extraColumns: ['role_id'] })).toEqual([[], [], []]);
    expect(missing('inserted', { extraColumns: ['role_id'] })).toEqual([[], [], []]);
  });

  test('under their names in the database, and the solution is the exact statement', () => {
    const byHand = table<{ id: number; role: number }>()({
      tableName: 'users', primaryKey: 'id', columnMap: { role: 'role_id' },
    }); // prettier-ignore
    expect(problems('default', [byHand, 'deleted', { extraColumns: ['role'] }])).toEqual([
      {
        message: `users:deleted: PostgreSQL does not send the old value of 'role_id', because of the replica identity of "public"."users" (default)`,
        solution: full,
        watcher: 'users:deleted',
        table: 'users',
      },
    ]);
  });
});

describe('a table without a replica identity', () => {
  test('can have a deferrable primary key: the solution is FULL, with or without a named key', () => {
    const deferrable = usersTable({ uniqueKeys: [], deferrableKeys: [['id']], identityColumns: new Set() });
    for (const source of ['users', table()({ tableName: 'users', primaryKey: 'id' })]) {
      const { issues, identity } = bindWatchers(watchersFor([source, 'updated']), [deferrable], { major: 17 });
      expect(issues).toEqual([]);
      expect(identity).toMatchObject([
        { message: expect.stringContaining('does not accept a deferrable primary key'), solution: full },
      ]);
    }
  });

  test("is never published for updates or deletes: the application's own would fail", () => {
    for (const type of ['updated', 'deleted'] as const)
      expect(problems('nothing', ['users', type])).toMatchObject([
        {
          message: expect.stringContaining('would refuse its updates and deletes'),
          solution: 'ALTER TABLE "public"."users" REPLICA IDENTITY DEFAULT;',
        },
      ]);
  });

  test('is refused even if only another watcher needs updates, because a publication has one list of operations', () => {
    const posts = usersTable({ oid: 2, name: 'posts' });
    const watchers = watchersFor(['users', 'inserted'], ['posts', 'updated']);
    const { identity } = bindWatchers(watchers, [usersTable({ replicaIdentity: 'nothing' }), posts], { major: 17 });
    expect(identity).toMatchObject([{ watcher: 'users:inserted', table: 'users' }]);
  });

  test('can be watched for inserts and truncates', () => {
    expect(problems('nothing', ['users', 'inserted'], ['users', 'truncated'])).toEqual([]);
  });

  test('and without a primary key needs FULL', () => {
    const byHand = table()({ tableName: 'users', primaryKey: 'id' });
    const keyless = usersTable({ primaryKey: undefined });
    expect(bindWatchers(watchersFor([byHand, 'updated']), [keyless], { major: 17 }).identity).toMatchObject([
      { solution: full },
    ]);
  });
});

describe('a partitioned table', () => {
  const leaf = (name: string, replicaIdentity: ReplicaIdentity) => ({
    oid: 9,
    schema: 'public',
    name,
    replicaIdentity,
  });
  const identityOf = (table: Table, entry: WatcherEntry) =>
    bindWatchers(watchersFor(entry), [table], { major: 17 }).identity.map(({ message, solution }) => [
      message,
      solution,
    ]);

  test('needs the replica identity in each of its partitions, because they do not inherit it', () => {
    const leaves = [leaf('users_1', 'full'), leaf('users_2', 'default')];
    const partitioned = usersTable({ kind: 'p', leaves, replicaIdentity: 'full', identityColumns: new Set(['id']) });
    expect(identityOf(partitioned, ['users', 'deleted', { extraColumns: ['role_id'] }])).toEqual([
      [
        expect.stringContaining('because of the replica identity of "public"."users" or of a partition (full)'),
        'ALTER TABLE "public"."users_2" REPLICA IDENTITY FULL;',
      ],
    ]);
    const lost = usersTable({ kind: 'p', leaves: [leaf('users_1', 'nothing')], identityColumns: new Set() });
    expect(identityOf(lost, ['users', 'updated'])).toEqual([
      [expect.stringContaining('has no replica identity'), 'ALTER TABLE "public"."users_1" REPLICA IDENTITY DEFAULT;'],
    ]);
  });
});

test('a virtual generated column is part of FULL, and PostgreSQL 18 then refuses updates and deletes', () => {
  const virtual = column('total', oids.int4, { generated: 'virtual' });
  const identityOf = (major: number, replicaIdentity: ReplicaIdentity, type: UpdateType) => {
    const table = usersTable({ columns: [...usersTable().columns, virtual], replicaIdentity });
    return bindWatchers(watchersFor(['users', type]), [table], { major }).identity;
  };
  expect(identityOf(18, 'full', 'updated')).toMatchObject([
    {
      message: expect.stringContaining("the virtual generated column 'total'"),
      solution:
        'ALTER TABLE "public"."users" REPLICA IDENTITY DEFAULT; or ALTER TABLE "public"."users" DROP COLUMN "total";',
    },
  ]);
  for (const [major, identity, type] of [
    [18, 'full', 'inserted'],
    [18, 'default', 'updated'],
    [17, 'full', 'deleted'],
  ] as const)
    expect(identityOf(major, identity, type)).toEqual([]);
});

describe('walwatch only warns', () => {
  const warnings = (entry: WatcherEntry, filteredBy: string[], replicaIdentity: ReplicaIdentity = 'default') =>
    bindWarnings(boundTo(usersTable({ replicaIdentity }), entry)[0]!, filteredBy);

  test('if a filter uses a column without an old value: its subscription does not learn of rows that leave', () => {
    const entry = ['users', 'updated', { extraColumns: ['role_id', 'email'] }] as const;
    expect(warnings(entry, ['role_id', 'email', 'id'])).toMatchObject([
      {
        code: 'REPLICA_IDENTITY',
        message: expect.stringContaining("an update that changes 'role_id', 'email' reaches only"),
        solution: full,
      },
    ]);
    expect(warnings(entry, ['role_id', 'email'], 'index')).toMatchObject([
      { message: expect.stringContaining("an update that changes 'role_id' reaches only") },
    ]);
    expect(warnings(entry, ['role_id'], 'full')).toEqual([]);
    expect(warnings(entry, ['id'])).toEqual([]);
    expect(warnings(entry, [])).toEqual([]);
  });

  test("if large values may be absent and the watcher has no absent: 'omit'", () => {
    const entry = (absent: 'throw' | 'omit') =>
      ['users', 'updated', { extraColumns: ['bio', 'role_id'], absent }] as const;
    expect(warnings(entry('throw'), [])).toMatchObject([
      { code: 'VALUE_ABSENT', message: expect.stringContaining("does not send a large value of 'bio'") },
    ]);
    expect(warnings(entry('omit'), [])).toEqual([]);
    expect(warnings(entry('throw'), [], 'full')).toEqual([]);
  });

  test('about updates: an insert is complete, and a delete was checked', () => {
    expect(warnings(['users', 'inserted', { extraColumns: ['bio'] }], ['bio'])).toEqual([]);
    expect(warnings(['users', 'deleted'], ['id'])).toEqual([]);
  });
});
