import { serial, pgTable } from 'drizzle-orm/pg-core';
import { expectTypeOf, test } from 'vitest';
import {
  type ContextOf,
  defineWatchers,
  type EventOf,
  type FilterOf,
  table,
  type Watch,
  type WatcherName,
} from '../../src/index.ts';

const posts = pgTable('posts', { key: serial('id').primaryKey() });
const lines = table<{ id: number; qty: number }>()({ tableName: 'lines', primaryKey: 'id' });
const watchers = defineWatchers([
  ['users', 'inserted'],
  ['users', 'updated', { extraColumns: ['role_id'] }],
  ['billing.invoices', 'deleted', { extraColumns: ['anything at all'], absent: 'omit' }],
  ['public.roles', 'updated', { label: 'role_renamed', triggerColumns: ['name'] }],
  ['users', 'truncated'],
  [posts, 'deleted'],
  [lines, 'updated', { extraColumns: ['qty'] }],
]);
type W = typeof watchers;
type Scalar = string | number | bigint | boolean | null;
declare const watch: Watch<W>;
const handler = () => {};

test('without a schema type, watchers have the same names as with one', () => {
  expectTypeOf<WatcherName<W>>().toEqualTypeOf<
    | 'users:inserted'
    | 'users:updated'
    | 'billing.invoices:deleted'
    | 'role_renamed'
    | 'users:truncated'
    | 'posts:deleted'
    | 'lines:updated'
  >();
});

test('without a schema type, an event has columns of unknown type', () => {
  expectTypeOf<EventOf<W, 'users:inserted'>>().toEqualTypeOf<{ readonly [column: string]: unknown }>();
  expectTypeOf<EventOf<W, 'users:updated'>>().toEqualTypeOf<{ readonly [column: string]: unknown }>();
  expectTypeOf<EventOf<W, 'billing.invoices:deleted'>>().toEqualTypeOf<{ readonly [column: string]: unknown }>();
  expectTypeOf<EventOf<W, 'role_renamed'>>().toEqualTypeOf<{ readonly [column: string]: unknown }>();
  expectTypeOf<EventOf<W, 'users:truncated'>>().toEqualTypeOf<{}>();
});

test('without a schema type, tables that bring their own types keep them', () => {
  expectTypeOf<EventOf<W, 'posts:deleted'>>().toEqualTypeOf<{ readonly key: number }>();
  expectTypeOf<EventOf<W, 'lines:updated'>>().toEqualTypeOf<{ readonly id: number; readonly qty: number }>();
});

test('without a schema type, a context still has literals for watcher and type', () => {
  expectTypeOf<ContextOf<W, 'role_renamed'>['watcher']>().toEqualTypeOf<'role_renamed'>();
  expectTypeOf<ContextOf<W, 'role_renamed'>['type']>().toEqualTypeOf<'updated'>();
  expectTypeOf<ContextOf<W, 'role_renamed'>['previous']>().toEqualTypeOf<{ readonly [column: string]: unknown }>();
  expectTypeOf<ContextOf<W, 'role_renamed'>['absent']>().toEqualTypeOf<readonly string[]>();
});

test('without a schema type, a filter is any id, or any columns with scalar values', () => {
  expectTypeOf<FilterOf<W, 'users:updated'>>().toEqualTypeOf<Scalar | { readonly [column: string]: Scalar }>();
  watch.subscribe('users:updated', 7n, handler);
  watch.subscribe('users:updated', { role_id: 7, site: 'a' }, handler);
  // @ts-expect-error a Date cannot be compared
  watch.subscribe('users:updated', { created_at: new Date(0) }, handler);
});

test('without a schema type, mistakes that need none are still refused', () => {
  // @ts-expect-error not watched
  watch.subscribe('users:deleted', handler);
  // @ts-expect-error truncated accepts no filter
  watch.subscribe('users:truncated', 7, handler);
  // @ts-expect-error only for 'updated'
  defineWatchers([['users', 'deleted', { label: 'a', triggerColumns: ['email'] }]]);
  // @ts-expect-error needs a label
  defineWatchers([['users', 'updated', { triggerColumns: ['email'] }]]);
  // @ts-expect-error truncated has no row
  defineWatchers([['users', 'truncated', { extraColumns: ['email'] }]]);
  // @ts-expect-error extraColumns
  defineWatchers([['users', 'updated', { extraColumn: ['email'] }]]);
  // @ts-expect-error unknown type
  defineWatchers([['users', 'changed']]);
  defineWatchers([
    // @ts-expect-error two of one name
    ['users', 'updated'],
    // @ts-expect-error two of one name
    ['public.users', 'updated'],
  ]);
});
