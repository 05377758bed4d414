import { describe, expect, test } from 'vitest';
import { makeEvent, makePrevious, recordKey } from '../../../src/watchers/event.ts';
import type { WatcherOptions } from '../../../src/types/watchers.ts';
import { tupleOf, type Values } from '../../support/sample-changes.ts';
import { column, planFor, usersTable } from '../../support/sample-tables.ts';

function making(
  options: WatcherOptions,
  replicaIdentity: 'default' | 'full' = 'default',
  type: 'updated' | 'deleted' = 'updated',
) {
  const plan = planFor(usersTable({ replicaIdentity }), ['users', type, options]);
  const planned = plan.watchers[type][0]!;
  const tuples = (row: Values, old?: Values) => [tupleOf(plan, row), old && tupleOf(plan, old)] as const;
  return {
    event: (row: Values, old?: Values) => makeEvent(planned, ...tuples(row, old)),
    previous: (row: Values, old?: Values) => makePrevious(planned, ...tuples(row, old)),
  };
}

describe('an event', () => {
  test('has exactly the primary key and the extra columns, with parsed values and nulls', () => {
    const { event } = making({ label: 'x', extraColumns: ['role_id', 'bio'], triggerColumns: ['email'] }, 'full');
    expect(event({ id: '1', role_id: '7', bio: null, email: 'a@b' })).toEqual({
      event: { id: 1, role_id: 7, bio: null }, absent: [],
    }); // prettier-ignore
  });

  test('is frozen, because subscriptions share it', () => {
    const { event } = making({ extraColumns: ['bio'] });
    for (const row of [{ id: '1', bio: 'x' }, { id: '1' }]) expect(Object.isFrozen(event(row).event)).toBe(true);
  });

  test('can have a column named __proto__ like any other', () => {
    const table = usersTable({ columns: [...usersTable().columns, column('__proto__')], replicaIdentity: 'full' });
    const plan = planFor(table, ['users', 'updated', { extraColumns: ['__proto__'] }]);
    const [planned] = plan.watchers.updated;
    for (const made of [
      makeEvent(planned!, ['1', 'x'], undefined).event,
      makePrevious(planned!, ['1', 'x'], ['1', 'x']),
    ]) {
      expect(Object.entries(made)).toEqual([['id', 1], ['__proto__', 'x']]); // prettier-ignore
      expect(Object.getPrototypeOf(made)).toBe(Object.prototype);
    }
  });

  test('takes a value that was not sent from the old row, if that has it', () => {
    const { event } = making({ extraColumns: ['bio', 'role_id'] }, 'full');
    expect(event({ id: '1', role_id: '7' }, { id: '1', role_id: '6', bio: 'long' })).toEqual({
      event: { id: 1, role_id: 7, bio: 'long' }, absent: [],
    }); // prettier-ignore
  });
});

describe('a value that was not sent', () => {
  const row = { id: '1', role_id: '7' };

  test('is absent, and reading it throws: it is never mistaken for null', () => {
    const { event: make } = making({ extraColumns: ['bio', 'role_id'] });
    const { event, absent } = make(row);
    expect(absent).toEqual(['bio']);
    expect(() => event['bio']).toThrow(expect.objectContaining({ code: 'VALUE_ABSENT', retry: 'never' }));
    expect(() => event['bio']).toThrow("users:updated: PostgreSQL did not send the value of 'bio'");
  });

  test('does not prevent copying and serializing the event without it', () => {
    const { event } = making({ extraColumns: ['bio', 'role_id'] }).event(row);
    expect({ ...event }).toEqual({ id: 1, role_id: 7 });
    expect(JSON.stringify(event)).toBe('{"id":1,"role_id":7}');
    expect('bio' in event).toBe(true);
  });

  test("is undefined if the watcher has absent: 'omit'", () => {
    const { event, absent } = making({ extraColumns: ['bio', 'role_id'], absent: 'omit' }).event(row);
    expect([absent, 'bio' in event, event['bio']]).toEqual([['bio'], false, undefined]);
  });

  test('can be the key itself', () => {
    const { event, absent } = making({}).event({});
    expect(absent).toEqual(['id']);
    expect(() => event['id']).toThrow("did not send the value of 'id'");
  });
});

describe('previous', () => {
  test('has the old values of the event, all of them with REPLICA IDENTITY FULL', () => {
    const { previous } = making({ extraColumns: ['role_id', 'bio'] }, 'full');
    expect(previous({ id: '2', role_id: '8', bio: 'new' }, { id: '1', role_id: '7', bio: null })).toEqual({
      id: 1, role_id: 7, bio: null,
    }); // prettier-ignore
  });

  test('has the old values that are known: a key that did not change is known', () => {
    const { previous } = making({ extraColumns: ['role_id'] });
    expect(previous({ id: '1', role_id: '8' })).toEqual({ id: 1 });
    expect(previous({ id: '2', role_id: '8' }, { id: '1' })).toEqual({ id: 1 });
  });

  test('is frozen', () => {
    expect(Object.isFrozen(making({}).previous({ id: '1' }))).toBe(true);
  });
});

describe('the key of a record', () => {
  const columns = (count: number) => Array.from({ length: count }, (_, index) => ({ slot: index }) as never);
  const keyOf = (...texts: (string | null | undefined)[]) =>
    recordKey(columns(texts.length), ({ slot }, row) => row[slot], texts, undefined);

  test('is equal for equal values only', () => {
    const keys = [['a', 'b'], ['ab', ''], ['', 'ab'], ['a1:b', ''], ['1:a', 'b'], ['a', '1:b']].map((texts) => keyOf(...texts)); // prettier-ignore
    expect(new Set(keys).size).toBe(keys.length);
    expect(keyOf('a', 'b')).toBe(keyOf('a', 'b'));
    expect(keyOf('42')).toBe('42');
  });

  test('is unknown if a part of it is unknown', () => {
    const unknown = [keyOf(undefined), keyOf(null), keyOf('a', undefined), keyOf(null, 'b')];
    expect(unknown).toEqual(Array(4).fill(undefined));
  });
});
