import { expect, test } from 'vitest';
import type { Table } from '../../../src/postgres/tables.ts';
import { identityChanges } from '../../../src/cli/replica-identity.ts';
import { checkEntries } from '../../../src/watchers/validate.ts';

const column = (name: string) =>
  ({ name, number: 0, typeOid: 23, notNull: true, generated: undefined, toastable: false }) as const;
const users: Table = {
  oid: 1, schema: 'public', name: 'users', kind: 'r', persistence: 'p', lastNumber: 2, ancestors: [], leaves: [], columns: ['id', 'role_id'].map(column),
  primaryKey: ['id'], uniqueKeys: [['id']], deferrableKeys: [], replicaIdentity: 'default', identityColumns: new Set(['id']), identityUnion: new Set(['id']), withoutIdentity: [],
}; // prettier-ignore
const without: Table = { ...users, replicaIdentity: 'nothing', identityColumns: new Set() };

function changes(table: Table, ...entries: unknown[]): string[] {
  const { watchers, issues } = checkEntries(entries);
  expect(issues).toEqual([]);
  const { changes: found, unsolved } = identityChanges(watchers, [table], { major: 17 });
  return [...found.map(({ statement }) => statement), ...unsolved.map(({ message }) => message)];
}

const changed = ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }];

test('a sufficient identity stays', () => {
  expect(changes(users, ['users', 'updated'], ['users', 'deleted'])).toEqual([]);
  expect(changes(without, ['users', 'inserted'])).toEqual([]);
});

test('the smallest identity that is enough for all watchers of a table is chosen, once', () => {
  expect(changes(without, ['users', 'updated'])).toEqual(['ALTER TABLE "public"."users" REPLICA IDENTITY DEFAULT;']);
  // Each watcher alone would need less, or the same.
  expect(changes(without, ['users', 'deleted'], changed)).toEqual([
    'ALTER TABLE "public"."users" REPLICA IDENTITY FULL;',
  ]);
});

test('partitions with another identity are changed together with their partitioned table', () => {
  const leaf = { oid: 2, schema: 'public', name: 'users_1', replicaIdentity: 'default' } as const;
  const full = { ...leaf, name: 'users_2', replicaIdentity: 'full' } as const;
  expect(changes({ ...users, kind: 'p', leaves: [leaf, full] }, changed)).toEqual([
    'ALTER TABLE "public"."users" REPLICA IDENTITY FULL; ALTER TABLE "public"."users_1" REPLICA IDENTITY FULL;',
  ]);
});

test('the columns of a row filter must be in the identity', () => {
  const { watchers } = checkEntries([['users', 'updated']]);
  const of = (columns: string[]) =>
    identityChanges(watchers, [users], { major: 17 }, new Map([[users.oid, columns]])).changes;
  expect(of(['id'])).toEqual([]);
  expect(of(['role_id'])).toMatchObject([{ to: 'full', altered: { replicaIdentity: 'full' } }]);
});

test('a deferrable key cannot be the identity, and a need that no identity meets is reported', () => {
  expect(changes({ ...without, uniqueKeys: [] }, ['users', 'deleted'])).toEqual([
    'ALTER TABLE "public"."users" REPLICA IDENTITY FULL;',
  ]);
  const virtual: Table = { ...users, columns: [...users.columns, { ...column('sum'), generated: 'virtual' }] };
  const { watchers } = checkEntries([changed]);
  const { changes: none, unsolved } = identityChanges(watchers, [virtual], { major: 18 });
  expect(none).toEqual([]);
  expect(unsolved).toHaveLength(1);
});
