import { describe, test } from 'vitest';
import { defineWatchers, table } from '../../src/index.ts';
import type { DB } from './database.ts';

const define = defineWatchers<DB>();

describe('defineWatchers refuses', () => {
  test('a table that the schema type does not have', () => {
    // @ts-expect-error unknown table 'user'
    define([['user', 'updated']]);
    define([
      ['users', 'updated'],
      // @ts-expect-error nor is this, and the entry before it is right
      ['invoices', 'updated'],
    ]);
  });

  test('a table whose name is any string', () => {
    // @ts-expect-error any string
    define([['users' as string, 'updated']]);
  });

  test('an update type that does not exist', () => {
    // @ts-expect-error unknown type 'update'
    define([['users', 'update']]);
  });

  test('an entry without its update type', () => {
    // @ts-expect-error a table alone
    define([['users']]);
  });

  test('a column that the table does not have', () => {
    // @ts-expect-error among the extra columns
    define([['users', 'updated', { extraColumns: ['email', 'phone'] }]]);
    // @ts-expect-error among the trigger columns
    define([['users', 'updated', { label: 'called', triggerColumns: ['phone'] }]]);
  });

  test("another table's column", () => {
    // @ts-expect-error of billing.invoices
    define([['users', 'updated', { extraColumns: ['total'] }]]);
  });

  test('a typed table without a column id, unless table() names its key', () => {
    // @ts-expect-error its key is order_id and line
    define([['order_lines', 'updated']]);
    const lines = table<DB['order_lines']>()({ tableName: 'order_lines', primaryKey: ['order_id', 'line'] });
    define([[lines, 'updated']]);
  });

  test('triggerColumns for anything but updated', () => {
    // @ts-expect-error a new row changed nothing
    define([['users', 'inserted', { label: 'a', triggerColumns: ['email'] }]]);
    // @ts-expect-error nor did a deleted one
    define([['users', 'deleted', { label: 'a', triggerColumns: ['email'] }]]);
    // @ts-expect-error truncated has no row
    define([['users', 'truncated', { label: 'a', triggerColumns: ['email'] }]]);
  });

  test('triggerColumns without a label', () => {
    // @ts-expect-error 'users:updated' would mean every update
    define([['users', 'updated', { triggerColumns: ['email'] }]]);
  });

  test('extraColumns for truncated', () => {
    // @ts-expect-error truncated has no row
    define([['users', 'truncated', { extraColumns: ['email'] }]]);
  });

  test('where for truncated, and a where that is not a string', () => {
    // @ts-expect-error TRUNCATE is not filtered
    define([['users', 'truncated', { where: 'id > 1' }]]);
    // @ts-expect-error must be SQL
    define([['users', 'updated', { where: true }]]);
    define([['users', 'updated', { where: 'id > 1' }]]);
  });

  test('a misspelt option, alone or next to correct ones', () => {
    // @ts-expect-error extraColumns
    define([['users', 'updated', { extraColumn: ['email'] }]]);
    // @ts-expect-error triggerColumns
    define([['users', 'updated', { label: 'a', extraColumns: ['email'], trigger_columns: ['email'] }]]);
  });

  test('an option with a value of the wrong type', () => {
    // @ts-expect-error must be a list
    define([['users', 'updated', { extraColumns: 'email' }]]);
    // @ts-expect-error 'throw' or 'omit'
    define([['users', 'updated', { absent: 'null' }]]);
    // @ts-expect-error a string
    define([['users', 'updated', { label: 1 }]]);
    // @ts-expect-error a boolean
    define([['users', 'updated', { debug: 'yes' }]]);
  });
});

describe('defineWatchers refuses two watchers of the same name:', () => {
  test('the same table and type', () => {
    define([
      // @ts-expect-error both entries are refused
      ['users', 'updated'],
      // @ts-expect-error whatever their options are
      ['users', 'updated', { extraColumns: ['email'] }],
      ['users', 'deleted'],
    ]);
  });

  test('the same label', () => {
    define([
      // @ts-expect-error a label is unique over all tables
      ['users', 'updated', { label: 'changed' }],
      // @ts-expect-error and types
      ['billing.invoices', 'deleted', { label: 'changed' }],
    ]);
  });

  test("the same table with and without 'public.'", () => {
    const users = table<DB['users']>()({ tableName: 'users', schema: 'public', primaryKey: 'id' });
    define([
      // @ts-expect-error one name
      ['users', 'updated'],
      // @ts-expect-error the same
      [users, 'updated'],
    ]);
  });

  test('entries that are declared separately', () => {
    const entries = [
      ['users', 'updated'],
      ['users', 'updated'],
    ] as const;
    // @ts-expect-error both are 'users:updated'
    define(entries);
  });
});

test('the list is refused in the call that takes the schema type', () => {
  const list = [['users', 'updated']] as const;
  // @ts-expect-error 'pass the list in a second call: defineWatchers<DB>()([…])'
  defineWatchers<DB>(list);
  // @ts-expect-error the same
  defineWatchers<DB>([['users', 'updated']]);
});

test('an unknown option of defineWatchers is refused', () => {
  // @ts-expect-error naming
  define([['users', 'updated']], { namings: 'camelCase' });
  // @ts-expect-error 'camelCase' is the only string
  define([['users', 'updated']], { naming: 'snake_case' });
  define([['users', 'updated']], { naming: { underscoreBeforeDigits: true } });
});
