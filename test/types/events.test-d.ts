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
  test('the primary key alone, when there are no extra columns', () => {
    expectTypeOf<EventOf<W, 'users:inserted'>>().toEqualTypeOf<{ readonly id: number }>();
    expectTypeOf<EventOf<W, 'nothing_more'>>().toEqualTypeOf<{ readonly id: number }>();
  });

  test('primary key and extra columns, nothing else', () => {
    expectTypeOf<EventOf<W, 'users:updated'>>().toEqualTypeOf<{
      readonly id: number;
      readonly email: string;
      readonly role_id: number | null;
    }>();
  });

  test('a primary key that is an extra column as well only once', () => {
    expectTypeOf<EventOf<W, 'users:deleted'>>().toEqualTypeOf<{ readonly id: number; readonly email: string }>();
  });

  test('no trigger columns', () => {
    expectTypeOf<EventOf<W, 'contact_changed'>>().toEqualTypeOf<{ readonly id: number }>();
  });

  test('nothing for truncated', () => {
    expectTypeOf<EventOf<W, 'users:truncated'>>().toEqualTypeOf<{}>();
  });
});

test("a column's type is what a select returns, not what an insert or update takes", () => {
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

test('a brand of a key is kept', () => {
  expectTypeOf<EventOf<W, 'billing.invoices:updated'>>().toEqualTypeOf<{
    readonly id: UserId;
    readonly total: string;
  }>();
});

test("absent: 'omit' makes the extra columns optional, and never the primary key", () => {
  expectTypeOf<EventOf<W, 'omitting'>>().toEqualTypeOf<{
    readonly id: number;
    readonly email?: string;
    readonly created_at?: Date;
  }>();
});

test("absent: 'throw' is the default, and leaves extra columns required", () => {
  expectTypeOf<EventOf<W, 'throwing'>>().toEqualTypeOf<{ readonly id: number; readonly email: string }>();
});

test('a handler cannot read a column that was not asked for, nor write to the event', () => {
  const read = (event: EventOf<W, 'users:updated'>) => {
    // @ts-expect-error a column of the table, but not of the event
    void event.verified;
    // @ts-expect-error events are read-only
    event.email = '';
  };
  expectTypeOf(read).returns.toBeVoid();
});
