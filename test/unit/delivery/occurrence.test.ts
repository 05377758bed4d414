import { describe, expect, test } from 'vitest';
import { HandlerContext } from '../../../src/delivery/context.ts';
import { Occurrence } from '../../../src/delivery/occurrence.ts';
import { table } from '../../../src/watchers/table.ts';
import type { UpdateType, WatcherEntry } from '../../../src/types/watchers.ts';
import { changeOf, transactionAt, type Values } from '../../support/sample-changes.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';

const full = usersTable({ schema: 'erp', replicaIdentity: 'full' });

function occurrenceOf(type: UpdateType, row: Values, old?: Values, key?: string[]) {
  const given = key === undefined ? 'erp.users' : table()({ tableName: 'users', schema: 'erp', primaryKey: key });
  const entry: WatcherEntry = [given, type, type === 'truncated' ? {} : { extraColumns: ['role_id', 'bio'] }];
  const plan = planFor(full, entry);
  const change = changeOf(plan, type, old ? { row, old } : { row }, {
    transaction: transactionAt(0x16_b374_d848n, 77),
    ordinal: 3,
  });
  return new Occurrence(plan.watchers[type][0]!, change);
}
const row = { id: '1', role_id: '7', bio: 'x' };

describe('the context', () => {
  test('says where the event comes from', () => {
    expect(occurrenceOf('updated', row).context(2)).toMatchObject({
      watcher: 'erp.users:updated',
      type: 'updated',
      schema: 'erp',
      table: 'users',
      eventId: '16/B374D848/3',
      commitLsn: '16/B374D848',
      ordinal: 3,
      xid: 77,
      committedAt: new Date(Date.UTC(2024, 0, 1)),
      absent: [],
      attempt: 2,
    });
  });

  test('has the old values of an update only, and builds them once', () => {
    const context = occurrenceOf('updated', row, { ...row, role_id: '6' }).context(1);
    expect(context.previous).toEqual({ id: 1, role_id: 6, bio: 'x' });
    expect(context.previous).toBe(context.previous);
    for (const type of ['inserted', 'deleted', 'truncated'] as const)
      expect(occurrenceOf(type, row).context(1).previous).toEqual({});
  });

  test('names the values that were not sent', () => {
    expect(occurrenceOf('updated', { id: '1', role_id: '7' }).context(1).absent).toEqual(['bio']);
  });

  test('has its own signal, which may be aborted before or after it is read', () => {
    const occurrence = occurrenceOf('updated', row);
    const [first, second, third] = [occurrence.context(1), occurrence.context(2), occurrence.context(3)];
    const { signal } = first;
    expect(first.signal).toBe(signal);
    HandlerContext.abort(first, 'late');
    HandlerContext.abort(second, 'early');
    expect([signal.reason, second.signal.reason, third.signal.aborted]).toEqual(['late', 'early', false]);
  });
});

describe('the records of an event', () => {
  test('are one, by its primary key', () => {
    const one = occurrenceOf('inserted', row).records;
    expect(one).toHaveLength(1);
    expect(occurrenceOf('updated', row).records).toEqual(one);
    expect(occurrenceOf('updated', row, row).records).toEqual(one);
    expect(occurrenceOf('deleted', row).records).toEqual(one);
    expect(occurrenceOf('deleted', { ...row, id: '2' }).records).not.toEqual(one);
  });

  test('belong to their table: other tables have the same keys', () => {
    const recordOf = (schema: string, name: string) => {
      const plan = planFor(usersTable({ schema, name }), [`${schema}.${name}`, 'deleted']);
      return new Occurrence(plan.watchers.deleted[0]!, changeOf(plan, 'deleted', { row: { id: '1' } })).records[0];
    };
    const names = [['a', 'bc'], ['ab', 'c'], ['a', 'c']] as const; // prettier-ignore
    expect(new Set(names.map(([schema, name]) => recordOf(schema, name)))).toHaveProperty('size', 3);
  });

  test('are two when the primary key changed, or one column of it', () => {
    const ofId = (id: string) => occurrenceOf('inserted', { ...row, id }).records[0];
    expect(occurrenceOf('updated', { ...row, id: '2' }, row).records).toEqual([ofId('2'), ofId('1')]);
    const [now, before] = occurrenceOf('updated', { ...row, id: '2', email: 'a' }, { ...row, email: 'a' }, [
      'id',
      'email',
    ]).records;
    expect(now).not.toBe(before);
    expect([now, before]).toEqual([
      occurrenceOf('inserted', { id: '2', email: 'a' }, undefined, ['id', 'email']).records[0],
      occurrenceOf('inserted', { id: '1', email: 'a' }, undefined, ['id', 'email']).records[0],
    ]);
  });

  test('are unknown without a key and for truncates: these are barriers', () => {
    for (const one of [occurrenceOf('updated', {}), occurrenceOf('truncated', {})])
      expect([one.records, one.barrier]).toEqual([[], true]);
    for (const type of ['inserted', 'updated', 'deleted'] as const) expect(occurrenceOf(type, row).barrier).toBe(false);
    expect(occurrenceOf('updated', { ...row, id: '2' }, row).barrier).toBe(false);
  });

  test('are partly unknown when the key is outside the replica identity: the old key may differ', () => {
    const keyed = usersTable({ uniqueKeys: [['id'], ['email']] });
    const byEmail = (type: UpdateType, old?: Values) => {
      const plan = planFor(keyed, [table()({ tableName: 'users', primaryKey: 'email' }), type]);
      return new Occurrence(
        plan.watchers[type][0]!,
        changeOf(plan, type, { row: { email: 'a' }, ...(old && { old }) }),
      );
    };
    expect([byEmail('updated').records, byEmail('updated').barrier]).toEqual([byEmail('inserted').records, true]);
    expect(byEmail('updated', { id: '2' }).barrier).toBe(true);
    expect(byEmail('inserted').barrier).toBe(false);
  });
});

describe('watchers of the same columns', () => {
  const entry = (label: string, ...extraColumns: string[]) =>
    ['users', 'updated', { label, extraColumns, absent: label === 'c' ? 'omit' : 'throw' }] as const;
  const plan = planFor(usersTable(), entry('a', 'bio'), entry('b', 'bio'), entry('c', 'bio'), entry('d', 'email'));
  const occurrences = (values: Values) => {
    const change = changeOf(plan, 'updated', { row: values });
    return plan.watchers.updated.map((planned) => new Occurrence(planned, change));
  };

  test('share one event object', () => {
    const [a, b, c, d] = occurrences({ id: '1', bio: 'x', email: 'y' });
    expect([a!.event, d!.event]).toEqual([{ id: 1, bio: 'x' }, { id: 1, email: 'y' }]); // prettier-ignore
    expect([b!.event === a!.event, c!.event === a!.event]).toEqual([true, true]);
    expect([a, b, c, d].map((one) => one!.context(1).watcher)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('get separate objects when a value is absent, since each gets its own error', () => {
    const [a, b, c] = occurrences({ id: '1' });
    expect(() => a!.event['bio']).toThrow('a: ');
    expect(() => b!.event['bio']).toThrow('b: ');
    expect([c!.event, c!.absent]).toEqual([{ id: 1 }, ['bio']]);
  });
});
