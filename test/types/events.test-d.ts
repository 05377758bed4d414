import { describe, expectTypeOf, test } from 'vitest';
import { defineWatchers, type EventOf } from '../../src/index.ts';
import type { Address, DB, UserId } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'inserted'],
  ['users', 'updated', { extraColumns: ['email', 'role_id'] }],
  ['users', 'deleted', { extraColumns: ['id', 'email'] }],
  ['users', 'truncated'],
  ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email', 'verified'] }],
  [
    'users',
    'updated',
    { label: 'values', extraColumns: ['state', 'balance', 'address', 'tags', 'created_at', 'deleted_at', 'raw'] },
  ],
  ['users', 'updated', { label: 'omitting', extraColumns: ['id', 'email', 'created_at'], absent: 'omit' }],
  ['users', 'updated', { label: 'throwing', extraColumns: ['email'], absent: 'throw' }],
  ['users', 'updated', { label: 'nothing_more', extraColumns: [] }],
  ['billing.invoices', 'updated', { extraColumns: ['total'] }],
]);
type W = typeof watchers;

describe('an event has', () => {
  test('only the primary key, without extra columns', () => {
    expectTypeOf<EventOf<W, 'users:inserted'>>().toEqualTypeOf<{ readonly id: number }>();
    expectTypeOf<EventOf<W, 'nothing_more'>>().toEqualTypeOf<{ readonly id: number }>();
  });

  test('exactly the primary key and the extra columns', () => {
    expectTypeOf<EventOf<W, 'users:updated'>>().toEqualTypeOf<{
      readonly id: number;
      readonly email: string;
      readonly role_id: number | null;
    }>();
  });

  test('a primary key that is also an extra column only once', () => {
    expectTypeOf<EventOf<W, 'users:deleted'>>().toEqualTypeOf<{ readonly id: number; readonly email: string }>();
  });

  test('no trigger columns', () => {
    expectTypeOf<EventOf<W, 'contact_changed'>>().toEqualTypeOf<{ readonly id: number }>();
  });

  test('nothing for truncated', () => {
    expectTypeOf<EventOf<W, 'users:truncated'>>().toEqualTypeOf<{}>();
  });
});

test("a column's type is the result of a select, not the input of an insert or update", () => {
  expectTypeOf<EventOf<W, 'values'>>().toEqualTypeOf<{
    readonly id: number;
    readonly state: 'active' | 'blocked';
    readonly balance: bigint;
    readonly address: Address;
    readonly tags: string[];
    readonly created_at: Date;
    readonly deleted_at: Date | null;
    readonly raw: unknown;
  }>();
});

test("the brand of a key's type is kept", () => {
  expectTypeOf<EventOf<W, 'billing.invoices:updated'>>().toEqualTypeOf<{
    readonly id: UserId;
    readonly total: string;
  }>();
});

test("absent: 'omit' makes extra columns optional, but never the primary key", () => {
  expectTypeOf<EventOf<W, 'omitting'>>().toEqualTypeOf<{
    readonly id: number;
    readonly email?: string;
    readonly created_at?: Date;
  }>();
});

test("absent: 'throw' is the default, and extra columns are then required", () => {
  expectTypeOf<EventOf<W, 'throwing'>>().toEqualTypeOf<{ readonly id: number; readonly email: string }>();
});

test('a handler cannot read a column that its watcher does not name, and cannot change the event', () => {
  const read = (event: EventOf<W, 'users:updated'>) => {
    // @ts-expect-error a column of the table, but not of the event
    void event.verified;
    // @ts-expect-error events are read-only
    event.email = '';
  };
  expectTypeOf(read).returns.toBeVoid();
});
