import { describe, expect, test } from 'vitest';
import type { Column, Table } from '../../../src/postgres/tables.ts';
import { TypeCatalog } from '../../../src/postgres/types.ts';
import type { Relation } from '../../../src/postgres/pgoutput/messages.ts';
import { describeWatcher } from '../../../src/watchers/details.ts';
import { identityWarnings, isUnknown } from '../../../src/watchers/described.ts';
import { table } from '../../../src/watchers/table.ts';
import { boundTo, column, oids, relationOf, usersTable, watchersFor } from '../../support/sample-tables.ts';

const users = usersTable();
const full = usersTable({ replicaIdentity: 'full' });
const types = new TypeCatalog(undefined);

describe('the catalog is read again for a relation', () => {
  const unknown = (relation: Partial<Relation>, known: Table = users) =>
    isUnknown({ ...relationOf(users), ...relation }, known, types);
  const { columns } = relationOf(users);
  const changed = (name: string, more: object) => columns.map((one) => (one.name === name ? { ...one, ...more } : one));

  test('but not if it is as it was in the catalog', () => {
    expect(unknown({})).toBe(false);
    expect(isUnknown(relationOf(full), full, types)).toBe(false);
  });

  test('if it has another name or schema', () => {
    expect([unknown({ name: 'people' }), unknown({ schema: 'erp' })]).toEqual([true, true]);
  });

  test('if a column is missing, new, or of another type', () => {
    expect(unknown({ columns: columns.slice(1) })).toBe(true);
    expect(unknown({ columns: [...columns, { name: 'age', typeOid: oids.int4, key: false }] })).toBe(true);
    expect(unknown({ columns: changed('role_id', { typeOid: oids.text }) })).toBe(true);
  });

  test('if it has an unknown type, such as a domain', () => {
    const mood = (typeOid: number): Column => column('mood', typeOid);
    const moody = usersTable({ columns: [...users.columns, mood(16_500)] });
    expect(isUnknown(relationOf(moody), moody, types)).toBe(true);
  });

  test('if its replica identity differs, but not for a partitioned table, whose partitions decide', () => {
    expect(unknown({ columns: changed('email', { key: true }) })).toBe(true);
    expect(unknown({ columns: changed('email', { key: true }) }, usersTable({ kind: 'p' }))).toBe(false);
    expect(unknown({ replicaIdentity: 'f' }, usersTable({ kind: 'p' }))).toBe(true);
  });

  test('with a column list: if a column of the list is missing, but not for other columns', () => {
    const relation = { ...relationOf(users), columns: columns.filter(({ name }) => name !== 'bio') };
    expect(isUnknown(relation, users, types, new Set(['id', 'email']))).toBe(false);
    expect(isUnknown(relation, users, types, new Set(['id', 'bio']))).toBe(true);
  });

  test('but not for a generated column, which is not sent', () => {
    const generated = usersTable({ columns: [...users.columns, column('total', oids.int4, { generated: 'stored' })] });
    expect(isUnknown(relationOf(users), generated, types)).toBe(false);
  });
});

describe('older changes that lack old values, because the replica identity was extended later,', () => {
  const warnings = (relation: Relation, ...bound: Parameters<typeof boundTo>) =>
    identityWarnings(relation, boundTo(...bound)).map(({ message }) => /old value of (.*)$/.exec(message)![1]);
  const weaker = relationOf(users);

  test('cause a warning for trigger columns, and for all columns of a deleted row', () => {
    const triggered = ['users', 'updated', { label: 'x', triggerColumns: ['email', 'id'] }] as const;
    const deleted = ['users', 'deleted', { extraColumns: ['role_id', 'email'] }] as const;
    expect(warnings(weaker, full, triggered, deleted)).toEqual([
      'email; these updates are delivered whether or not the value changed',
      'role_id, email; reading it throws VALUE_ABSENT',
    ]);
    expect(warnings(relationOf(full), full, triggered, deleted)).toEqual([]);
  });

  test('cause a warning for the key of a deleted row', () => {
    const other = relationOf(usersTable({ identityColumns: new Set(['email']) }));
    expect(warnings(other, full, ['users', 'deleted'])).toEqual(['id; reading it throws VALUE_ABSENT']);
  });

  test('cause no warning for a column that they do not have at all, because it was dropped or added later', () => {
    const without = { ...weaker, columns: weaker.columns.filter(({ name }) => name !== 'role_id') };
    expect(warnings(without, full, ['users', 'deleted', { extraColumns: ['role_id'] }])).toEqual([]);
  });

  test('cause no warning if no old value is needed', () => {
    const extra = { extraColumns: ['role_id'] };
    expect(
      warnings(weaker, full, ['users', 'updated', extra], ['users', 'inserted', extra], ['users', 'truncated']),
    ).toEqual([]);
  });

  test('cause a warning with the names in the database', () => {
    const byHand = table<{ id: number; role: number }>()({
      tableName: 'users', primaryKey: 'id', columnMap: { role: 'role_id' },
    }); // prettier-ignore
    const [warning] = identityWarnings(weaker, boundTo(full, [byHand, 'deleted', { extraColumns: ['role'] }]));
    expect(warning).toMatchObject({
      code: 'REPLICA_IDENTITY',
      message: expect.stringContaining('role_id'),
      solution: expect.stringContaining('the table has the right replica identity'),
    });
  });
});

test('details describe a watcher before and after its table was read', () => {
  const byHand = table<{ key: number; role: number }>()({
    tableName: 'users', primaryKey: 'key', columnMap: { key: 'id', role: 'role_id' },
  }); // prettier-ignore
  const entry = [byHand, 'deleted', { label: 'gone', extraColumns: ['role'] }] as const;
  const before = {
    watcher: 'gone', type: 'deleted', schema: 'public', table: 'users', label: 'gone', primaryKey: ['key'], columns: undefined,
    extraColumns: ['role'], triggerColumns: [], columnMap: { key: 'id', role: 'role_id' }, replicaIdentity: undefined,
    slot: 'worker', publication: 'accounts',
  }; // prettier-ignore
  expect(describeWatcher(watchersFor(entry)[0]!, undefined, 'worker', 'accounts')).toEqual(before);
  const [bound] = boundTo(full, entry);
  expect(describeWatcher(bound!.watcher, bound, 'worker', 'accounts')).toEqual({
    ...before,
    columns: ['key', 'email', 'role', 'bio'],
    replicaIdentity: 'full',
  });
  const [bare] = watchersFor(['users', 'updated']);
  expect(describeWatcher(bare!, undefined, 'worker', 'accounts')).toMatchObject({
    primaryKey: undefined,
    label: undefined,
  });
  expect(describeWatcher(bare!, boundTo(full, ['users', 'updated'])[0], 'a', 'b')).toMatchObject({
    primaryKey: ['id'],
  });
});
