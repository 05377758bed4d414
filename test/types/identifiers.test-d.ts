import { describe, expectTypeOf, test } from 'vitest';
import { defineWatchers, table, type UpdateType, type WatcherEntry, type WatcherName } from '../../src/index.ts';
import type { DB } from './database.ts';

describe('a watcher is named', () => {
  test('table:type in the schema public', () => {
    const watchers = defineWatchers<DB>()([
      ['users', 'inserted'],
      ['users', 'updated', { extraColumns: ['email'] }],
      ['users', 'deleted', {}],
      ['users', 'truncated'],
    ]);
    expectTypeOf<WatcherName<typeof watchers>>().toEqualTypeOf<`users:${UpdateType}`>();
  });

  test('schema.table:type outside public', () => {
    const watchers = defineWatchers<DB>()([['billing.invoices', 'updated']]);
    expectTypeOf<WatcherName<typeof watchers>>().toEqualTypeOf<'billing.invoices:updated'>();
  });

  test("without 'public.' if the schema type has that prefix", () => {
    const watchers = defineWatchers<DB>()([['public.audit_log', 'deleted']]);
    expectTypeOf<WatcherName<typeof watchers>>().toEqualTypeOf<'audit_log:deleted'>();
  });

  test('by its label, in any schema and with any other options', () => {
    const watchers = defineWatchers<DB>()([
      ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email'], extraColumns: ['role_id'] }],
      ['billing.invoices', 'inserted', { label: 'billed' }],
      ['users', 'updated'],
    ]);
    expectTypeOf<WatcherName<typeof watchers>>().toEqualTypeOf<'contact_changed' | 'billed' | 'users:updated'>();
  });
});

test('one table can have several watchers of one type, each with a label', () => {
  const watchers = defineWatchers<DB>()([
    ['users', 'updated', { label: 'a' }],
    ['users', 'updated', { label: 'b' }],
    ['users', 'updated'],
  ]);
  expectTypeOf<WatcherName<typeof watchers>>().toEqualTypeOf<'a' | 'b' | 'users:updated'>();
});

test('the same table name in two schemas is two watchers', () => {
  const watchers = defineWatchers<DB>()([
    ['users', 'updated'],
    [table<{ id: number }>()({ tableName: 'users', schema: 'archive', primaryKey: 'id' }), 'updated'],
  ]);
  expectTypeOf<WatcherName<typeof watchers>>().toEqualTypeOf<'users:updated' | 'archive.users:updated'>();
});

test('entries can be declared separately, as const', () => {
  const entries = [
    ['users', 'inserted'],
    ['users', 'updated', { extraColumns: ['email'] }],
  ] as const satisfies readonly WatcherEntry[];
  const watchers = defineWatchers<DB>()(entries);
  expectTypeOf<WatcherName<typeof watchers>>().toEqualTypeOf<'users:inserted' | 'users:updated'>();
});

test('an empty list has no names', () => {
  const typed = defineWatchers<DB>()([]);
  const untyped = defineWatchers([]);
  expectTypeOf<WatcherName<typeof typed>>().toBeNever();
  expectTypeOf<WatcherName<typeof untyped>>().toBeNever();
});
