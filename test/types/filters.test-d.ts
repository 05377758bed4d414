import type { ColumnType } from 'kysely';
import { describe, expectTypeOf, test } from 'vitest';
import type { LiveSource } from '../../src/client/index.ts';
import { defineWatchers, type FilterOf, table, type Watch } from '../../src/index.ts';
import type { DB, UserId } from './database.ts';

const lines = table<DB['order_lines']>()({ tableName: 'order_lines', primaryKey: ['order_id', 'line'] });
const watchers = defineWatchers<DB>()([
  ['users', 'inserted'],
  ['users', 'updated', { extraColumns: ['role_id', 'email'] }],
  ['users', 'deleted'],
  ['users', 'truncated'],
  ['users', 'inserted', { label: 'joined', extraColumns: ['role_id'] }],
  [
    'users',
    'updated',
    { label: 'values', extraColumns: ['state', 'balance', 'verified', 'address', 'tags', 'created_at', 'raw'] },
  ],
  ['users', 'updated', { label: 'marked', extraColumns: ['deleted_at'] }],
  ['users', 'updated', { label: 'omitting', extraColumns: ['email'], absent: 'omit' }],
  ['billing.invoices', 'updated', { extraColumns: ['user_id'] }],
  [lines, 'updated'],
  [lines, 'inserted'],
]);
type W = typeof watchers;
/** A string type of digits. */
type Text = string | number | bigint;
declare const watch: Watch<W>;
const handler = () => {};

describe('a filter is', () => {
  test('an id, or primary-key columns', () => {
    expectTypeOf<FilterOf<W, 'users:deleted'>>().toEqualTypeOf<number | { readonly id?: number }>();
    watch.subscribe('users:deleted', 7, handler);
    watch.subscribe('users:deleted', { id: 7 }, handler);
  });

  test('any of the extra columns, with null if the column is nullable', () => {
    expectTypeOf<FilterOf<W, 'users:updated'>>().toEqualTypeOf<
      number | { readonly id?: number; readonly role_id?: number | null; readonly email?: Text }
    >();
    watch.subscribe('users:updated', { role_id: 7 }, handler);
    watch.subscribe('users:updated', { role_id: null, email: 'a@example.org' }, handler);
  });

  test("of the column's type in a select", () => {
    expectTypeOf<FilterOf<W, 'billing.invoices:updated'>>().toEqualTypeOf<
      UserId | { readonly id?: UserId; readonly user_id?: number }
    >();
    // @ts-expect-error a number without the brand
    watch.subscribe('billing.invoices:updated', 7, handler);
    // @ts-expect-error the id is a number
    watch.subscribe('users:deleted', '7', handler);
    // @ts-expect-error role_id is a number
    watch.subscribe('users:updated', { role_id: '7' }, handler);
    // @ts-expect-error email is never null
    watch.subscribe('users:updated', { email: null }, handler);
  });

  test('a value of a scalar column; unknown accepts any scalar', () => {
    expectTypeOf<FilterOf<W, 'values'>>().toEqualTypeOf<
      | number
      | {
          readonly id?: number;
          readonly state?: 'active' | 'blocked';
          readonly balance?: bigint;
          readonly verified?: boolean;
          readonly raw?: string | number | bigint | boolean | null;
        }
    >();
    // @ts-expect-error a Date cannot be compared
    watch.subscribe('values', { created_at: new Date(0) }, handler);
    // @ts-expect-error nor is JSON
    watch.subscribe('values', { address: { street: '' } }, handler);
  });

  test('only null for a nullable column that has no scalar type', () => {
    expectTypeOf<FilterOf<W, 'marked'>>().toEqualTypeOf<
      number | { readonly id?: number; readonly deleted_at?: null }
    >();
  });

  test("the same with absent: 'omit'", () => {
    expectTypeOf<FilterOf<W, 'omitting'>>().toEqualTypeOf<number | { readonly id?: number; readonly email?: Text }>();
  });

  test('all or some columns of a composite key, but no id', () => {
    type Columns = { readonly order_id?: number; readonly line?: number };
    expectTypeOf<FilterOf<W, 'order_lines:updated'>>().toEqualTypeOf<Columns>();
    watch.subscribe('order_lines:updated', { order_id: 1, line: 2 }, handler);
    watch.subscribe('order_lines:updated', { order_id: 1 }, handler);
    // A new line of a known order: a part of the key is known before the row exists.
    watch.subscribe('order_lines:inserted', { order_id: 1 }, handler);
    // @ts-expect-error the key has two columns
    watch.subscribe('order_lines:updated', 1, handler);
  });

  test('extra columns for inserted, but no id', () => {
    watch.subscribe('joined', { role_id: 7 }, handler);
    // @ts-expect-error the id is unknown before the insert
    watch.subscribe('joined', 7, handler);
    // @ts-expect-error not as a column either
    watch.subscribe('joined', { id: 7 }, handler);
  });
});

test('a watcher without possible filters has a type that explains why', () => {
  expectTypeOf<
    FilterOf<W, 'users:truncated'>
  >().toEqualTypeOf<"'truncated' concerns the whole table and cannot be filtered">();
  expectTypeOf<
    FilterOf<W, 'users:inserted'>
  >().toEqualTypeOf<"'inserted' cannot be filtered by id: filter by extraColumns">();
});

test('a filter can be declared separately', () => {
  const filter: FilterOf<W, 'users:updated'> = { role_id: 7 };
  watch.subscribe('users:updated', filter, handler);
  watch.unsubscribe('users:updated', filter, handler);
});

test('a key with a string type of digits accepts a number or bigint', () => {
  interface Keys {
    accounts: { id: ColumnType<string, number | bigint | string>; owner_id: string | null; code: `${bigint}` };
    sites: { id: string & { readonly __brand: 'SiteId' }; state: 'on' | 'off'; flag: boolean };
  }
  const keyed = defineWatchers<Keys>()([
    ['accounts', 'updated', { extraColumns: ['owner_id', 'code'] }],
    ['sites', 'updated', { extraColumns: ['state', 'flag'] }],
  ]);
  const use = (own: Watch<typeof keyed>, live: LiveSource<typeof keyed>) => {
    for (const id of ['42', 42, 42n] as const) {
      own.subscribe('accounts:updated', id, handler);
      own.subscribe('accounts:updated', { id, owner_id: id, code: id }, handler);
      own.unsubscribe('accounts:updated', { owner_id: id }, handler);
      own.events('accounts:updated', id);
      live.subscribe('accounts:updated', id, handler);
    }
    own.subscribe('accounts:updated', { owner_id: null }, handler);
    // @ts-expect-error true is not a number
    own.subscribe('accounts:updated', true, handler);
    // @ts-expect-error nor a key with a brand
    own.subscribe('sites:updated', 42, handler);
    // @ts-expect-error nor one of several words
    own.subscribe('sites:updated', { state: 42 }, handler);
    // @ts-expect-error nor a boolean
    own.subscribe('sites:updated', { flag: 1 }, handler);
  };
  expectTypeOf(use).toBeFunction();
});
