import { boolean, integer, pgTable, timestamp } from 'drizzle-orm/pg-core';
import { noteOversized } from '../../../src/postgres/pgoutput/oversized.ts';
import { describe, expect, test } from 'vitest';
import type { ReplicaIdentity, Table } from '../../../src/postgres/tables.ts';
import { TypeCatalog } from '../../../src/postgres/types.ts';
import type { Relation } from '../../../src/postgres/pgoutput/messages.ts';
import { currentText, isTriggered, planRelation, previousText } from '../../../src/watchers/plan.ts';
import { table } from '../../../src/watchers/table.ts';
import { tupleOf, type Values } from '../../support/sample-changes.ts';
import { boundTo, column, oids, planFor, relationOf, usersTable } from '../../support/sample-tables.ts';

const full = usersTable({ replicaIdentity: 'full' });
const types = new TypeCatalog(undefined);

describe('a plan', () => {
  test('needs exactly the columns of all watchers, in the order of the relation', () => {
    const plan = planFor(
      full,
      ['users', 'updated', { label: 'x', extraColumns: ['bio'], triggerColumns: ['email'] }],
      ['users', 'inserted', { extraColumns: ['email'] }],
    );
    expect(plan.wanted).toEqual([0, 1, 3]);
    const [planned] = plan.watchers.updated;
    expect(planned!.columns.map(({ name, slot }) => [name, slot])).toEqual([['id', 0], ['bio', 2]]); // prettier-ignore
    expect(planned!.triggers.map(({ name, slot }) => [name, slot])).toEqual([['email', 1]]);
    expect(planned!.primaryKey.map(({ name, slot }) => [name, slot])).toEqual([['id', 0]]);
  });

  test('groups the watchers by update type; a truncate has no columns', () => {
    const plan = planFor(full, ['users', 'updated'], ['users', 'truncated'], ['users', 'updated', { label: 'x' }]);
    const { inserted, updated, deleted, truncated } = plan.watchers;
    expect([inserted, deleted]).toEqual([[], []]);
    expect(updated.map(({ bound }) => bound.watcher.name)).toEqual(['users:updated', 'x']);
    expect(truncated.map(({ columns }) => columns)).toEqual([[]]);
  });

  test('does not exist without watchers', () => {
    expect(planRelation(relationOf(full), [], types)).toBeUndefined();
  });

  test('uses names in code, and finds columns by their names in the database', () => {
    const byHand = table<{ key: number; role: number }>()({
      tableName: 'users', primaryKey: 'key', columnMap: { key: 'id', role: 'role_id' },
    }); // prettier-ignore
    const plan = planFor(full, [byHand, 'updated', { extraColumns: ['role'] }]);
    expect(plan.wanted).toEqual([0, 2]);
    expect(plan.watchers.updated[0]!.columns.map(({ name, slot }) => [name, slot])).toEqual([['key', 0], ['role', 1]]); // prettier-ignore
  });

  test('treats a column that the relation did not have yet as one without a value', () => {
    const older: Relation = { ...relationOf(full), columns: relationOf(full).columns.slice(0, 2) };
    const bound = boundTo(full, ['users', 'inserted', { extraColumns: ['bio'] }]);
    const plan = planRelation(older, bound, types)!;
    expect(plan.wanted).toEqual([0]);
    expect(plan.watchers.inserted[0]!.columns[1]).toMatchObject({ name: 'bio', slot: -1, key: false });
  });

  test('parses values by the type in the relation, which may be newer than the catalog', () => {
    const { columns, ...relation } = relationOf(full);
    const retyped = columns.map((one) => (one.name === 'role_id' ? { ...one, typeOid: oids.bool } : one));
    const bound = boundTo(full, ['users', 'inserted', { extraColumns: ['role_id'] }]);
    const { watchers } = planRelation({ ...relation, columns: retyped }, bound, types)!;
    expect(watchers.inserted[0]!.columns[1]!.parse('t')).toBe(true);
  });

  test('converts the values of a Drizzle table like Drizzle does: dates from text', () => {
    const drizzle = pgTable('users', {
      id: integer().primaryKey(),
      at: timestamp({ withTimezone: true, mode: 'string' }),
      active: boolean(),
    });
    const columns = [
      column('id', oids.int4, { notNull: true }),
      column('at', oids.timestamptz),
      column('active', oids.bool),
    ];
    const entry = [drizzle, 'inserted', { extraColumns: ['at', 'active'] }] as const;
    const [planned] = planFor(usersTable({ columns }), entry).watchers.inserted;
    const texts: Record<string, string> = { id: '7', at: '2024-01-01 00:00:00+00', active: 't' };
    expect(planned!.columns.map(({ name, parse }) => parse(texts[name]!))).toEqual([7, '2024-01-01 00:00:00+00', true]);
  });

  test('reports a parser that throws with its watcher and column', () => {
    const throwing = new TypeCatalog({
      getTypeParser: () => () => {
        throw new Error('no number');
      },
    });
    const { watchers } = planRelation(relationOf(full), boundTo(full, ['users', 'inserted']), throwing)!;
    const expected = {
      code: 'CONFIGURATION',
      message: expect.stringContaining("type parser of 'id' threw: Error: no number"),
    };
    expect(() => watchers.inserted[0]!.columns[0]!.parse('x')).toThrow(expect.objectContaining(expected));
  });
});

describe('a watcher with trigger columns gets an update', () => {
  /** `now`: the table's replica identity when the change is written. The watcher was checked against `checked`. */
  function triggered(
    checked: ReplicaIdentity,
    row: Values,
    old: Values | undefined,
    now: Table = usersTable({ replicaIdentity: checked }),
  ) {
    const entry = ['users', 'updated', { label: 'x', triggerColumns: ['email'] }] as const;
    const plan = planRelation(relationOf(now), boundTo(usersTable({ replicaIdentity: checked }), entry), types)!;
    return isTriggered(plan.watchers.updated[0]!, tupleOf(plan, row), old && tupleOf(plan, old));
  }
  const row = { id: '1', email: 'a' };

  test('with REPLICA IDENTITY FULL, if the value differs, including null', () => {
    expect(triggered('full', row, { id: '1', email: 'b' })).toBe(true);
    expect(triggered('full', row, { id: '1', email: null })).toBe(true);
    expect(triggered('full', { ...row, email: null }, row)).toBe(true);
    expect(triggered('full', row, row)).toBe(false);
    expect(triggered('full', { ...row, email: null }, { ...row, email: null })).toBe(false);
  });

  test('but not for unchanged TOAST, which is not sent again', () => {
    expect(triggered('full', { id: '1' }, row)).toBe(false);
    expect(triggered('index', { id: '1' }, undefined)).toBe(false);
  });

  test('with REPLICA IDENTITY USING INDEX, if there is an old row and a value in it differs', () => {
    expect(triggered('index', row, undefined)).toBe(false);
    expect(triggered('index', row, row)).toBe(false);
    expect(triggered('index', row, { id: '1', email: 'b' })).toBe(true);
  });

  test('if the replica identity was changed since and the value is unknown: too often rather than never', () => {
    const weaker = usersTable();
    expect(triggered('full', row, undefined, weaker)).toBe(true);
    expect(triggered('full', row, { id: '2' }, weaker)).toBe(true);
    expect(triggered('full', { id: '1' }, undefined, weaker)).toBe(true);
  });

  test('always, if it has no trigger columns', () => {
    const plan = planFor(usersTable(), ['users', 'updated']);
    expect(isTriggered(plan.watchers.updated[0]!, tupleOf(plan, row), undefined)).toBe(true);
  });

  test('if one of several trigger columns changed', () => {
    const plan = planFor(full, ['users', 'updated', { label: 'x', triggerColumns: ['email', 'role_id'] }]);
    const is = (old: Values) =>
      isTriggered(plan.watchers.updated[0]!, tupleOf(plan, { ...row, role_id: '7' }), tupleOf(plan, old));
    expect([is({ ...row, role_id: '8' }), is({ email: 'b', role_id: '7' }), is({ ...row, role_id: '7' })]).toEqual([
      true, true, false,
    ]); // prettier-ignore
  });
});

test('of a partition, only old values that every partition sends are used', () => {
  const leaves = [{ oid: 9, schema: 'public', name: 'users_1', replicaIdentity: 'default' } as const];
  const root = usersTable({ kind: 'p', leaves, identityColumns: new Set(['id']) });
  const promising = relationOf(usersTable({ replicaIdentity: 'full' }));
  const bound = boundTo(root, ['users', 'updated', { extraColumns: ['role_id'] }]);
  const plan = planRelation(promising, bound, types)!;
  const [id, role] = plan.watchers.updated[0]!.columns;
  // Nulls of the other columns may replace values that were not sent: the decoder makes them unknown.
  expect([...plan.unsure!].map((index) => promising.columns[index]!.name)).toEqual(['email', 'role_id', 'bio']);
  expect(planFor(usersTable(), ['users', 'updated']).unsure).toBeUndefined();
  expect([previousText(id!, ['1', '7'], undefined), previousText(role!, ['1', '7'], undefined)]).toEqual([
    '1',
    undefined,
  ]);
  // A value that was sent is known, whichever partition it comes from.
  expect(previousText(role!, ['1', '7'], ['1', '8'])).toBe('8');
});

test('a new value that is too long for JavaScript is unknown; it is not replaced by the old one', () => {
  const plan = planFor(full, ['users', 'updated', { extraColumns: ['bio'] }]);
  const [, bio] = plan.watchers.updated[0]!.columns;
  const [row, old] = [tupleOf(plan, { id: '1', bio: undefined }), tupleOf(plan, { id: '1', bio: 'x' })];
  expect(currentText(bio!, row, old)).toBe('x'); // unchanged TOAST
  noteOversized(row, bio!.slot, 600_000_000);
  expect([currentText(bio!, row, old), previousText(bio!, row, old)]).toEqual([undefined, 'x']);
});
