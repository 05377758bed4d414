import { describe, test } from 'vitest';
import { defineWatchers, table } from '../../src/index.ts';
import type { DB } from './database.ts';

const define = defineWatchers<DB>();

describe('refused in defineWatchers is', () => {
  test('a table that the schema type does not have', () => {
    // @ts-expect-error 'user' is no table
    define([['user', 'updated']]);
    define([
      ['users', 'updated'],
      // @ts-expect-error nor is this, and the entry before it is right
      ['invoices', 'updated'],
    ]);
  });

  test('a table by a name that is not known', () => {
    // @ts-expect-error any string
    define([['users' as string, 'updated']]);
  });

  test('an update type that does not exist', () => {
    // @ts-expect-error 'update' is none
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

  test('a typed table without a column id, until table() names its key', () => {
    // @ts-expect-error its key is order_id and line
    define([['order_lines', 'updated']]);
    const lines = table<DB['order_lines']>()({ tableName: 'order_lines', primaryKey: ['order_id', 'line'] });
    define([[lines, 'updated']]);
  });

  test('triggerColumns on anything but updated', () => {
    // @ts-expect-error a new row changed nothing
    define([['users', 'inserted', { label: 'a', triggerColumns: ['email'] }]]);
    // @ts-expect-error nor did one that is gone
    define([['users', 'deleted', { label: 'a', triggerColumns: ['email'] }]]);
    // @ts-expect-error there is no row
    define([['users', 'truncated', { label: 'a', triggerColumns: ['email'] }]]);
  });

  test('triggerColumns without a label', () => {
    // @ts-expect-error 'users:updated' would promise every update
    define([['users', 'updated', { triggerColumns: ['email'] }]]);
  });

  test('extraColumns on truncated', () => {
    // @ts-expect-error there is no row
    define([['users', 'truncated', { extraColumns: ['email'] }]]);
  });

  test('where on truncated, and one that is no string', () => {
    // @ts-expect-error TRUNCATE is not filtered
    define([['users', 'truncated', { where: 'id > 1' }]]);
    // @ts-expect-error SQL is wanted
    define([['users', 'updated', { where: true }]]);
    define([['users', 'updated', { where: 'id > 1' }]]);
  });

  test('a misspelt option, alone or beside right ones', () => {
    // @ts-expect-error extraColumns
    define([['users', 'updated', { extraColumn: ['email'] }]]);
    // @ts-expect-error triggerColumns
    define([['users', 'updated', { label: 'a', extraColumns: ['email'], trigger_columns: ['email'] }]]);
  });

  test('an option of another type', () => {
    // @ts-expect-error a list is wanted
    define([['users', 'updated', { extraColumns: 'email' }]]);
    // @ts-expect-error 'throw' or 'omit'
    define([['users', 'updated', { absent: 'null' }]]);
    // @ts-expect-error a string
    define([['users', 'updated', { label: 1 }]]);
    // @ts-expect-error a boolean
    define([['users', 'updated', { debug: 'yes' }]]);
  });
});

describe('refused are two watchers of one name:', () => {
  test('the same table and type', () => {
    define([
      // @ts-expect-error each of them is told
      ['users', 'updated'],
      // @ts-expect-error whatever the options, which are no part of the name
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

  test('entries declared apart', () => {
    const entries = [
      ['users', 'updated'],
      ['users', 'updated'],
    ] as const;
    // @ts-expect-error both are 'users:updated'
    define(entries);
  });
});

test('refused is the list in the call that takes the schema type', () => {
  const list = [['users', 'updated']] as const;
  // @ts-expect-error 'pass the list in a second call: defineWatchers<DB>()([…])'
  defineWatchers<DB>(list);
  // @ts-expect-error the same
  defineWatchers<DB>([['users', 'updated']]);
});

test('refused is an option of defineWatchers that it does not have', () => {
  // @ts-expect-error naming
  define([['users', 'updated']], { namings: 'camelCase' });
  // @ts-expect-error 'camelCase' is the only one
  define([['users', 'updated']], { naming: 'snake_case' });
  define([['users', 'updated']], { naming: { underscoreBeforeDigits: true } });
});
