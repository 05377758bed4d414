import { integer, pgTable } from 'drizzle-orm/pg-core';
import { describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../../src/errors.ts';
import { defineWatchers } from '../../../src/watchers/define.ts';
import { table } from '../../../src/watchers/table.ts';
import { checkEntries } from '../../../src/watchers/validate.ts';

const messages = (...entries: unknown[]) => checkEntries(entries).issues.map(({ message }) => message);

describe('a watcher', () => {
  test('has the name table:type, with the schema outside of public, or its label', () => {
    const { watchers, issues } = checkEntries([
      ['users', 'inserted'],
      ['public.users', 'updated'],
      ['erp.lines', 'deleted'],
      ['users', 'updated', { label: 'contact_changed' }],
    ]);
    expect(issues).toEqual([]);
    expect(watchers.map(({ name }) => name)).toEqual([
      'users:inserted', 'users:updated', 'erp.lines:deleted', 'contact_changed',
    ]); // prettier-ignore
  });

  test('has the given options, or their defaults', () => {
    const options = {
      label: 'mailed',
      extraColumns: ['a', 'b', 'a'],
      triggerColumns: ['c', 'c'],
      absent: 'omit',
      debug: true,
    };
    expect(checkEntries([['users', 'updated', options]]).watchers).toMatchObject([
      {
        type: 'updated',
        label: 'mailed',
        extraColumns: ['a', 'b'],
        triggerColumns: ['c'],
        absent: 'omit',
        debug: true,
      },
    ]);
    expect(checkEntries([['users', 'truncated']]).watchers).toMatchObject([
      { type: 'truncated', label: undefined, extraColumns: [], triggerColumns: [], absent: 'throw', debug: false },
    ]);
  });
});

describe('refused is', () => {
  test.each([
    [undefined, 'undefined'],
    [null, 'null'],
    ['users', '"users"'],
    [{}, '{}'],
  ])('%j instead of a list', (entries, shown) => {
    expect(checkEntries(entries)).toMatchObject({
      watchers: [],
      issues: [{ message: `watchers must be a list of entries, not ${shown}` }],
    });
  });

  test.each([[null], ['users'], [[]], [['users']], [['users', 'updated', {}, 1]]])(
    '%j instead of an entry',
    (entry) => {
      expect(messages(['users', 'updated'], entry)).toEqual(['watcher 1: an entry must be [table, type, options?]']);
    },
  );

  test.each([
    [null, 'null'],
    ['x', '"x"'],
    [[], '[]'],
  ])('%j instead of options', (options, shown) => {
    expect(messages(['users', 'updated', options])).toEqual([`watcher 0: options must be an object, not ${shown}`]);
  });

  test('an invalid table and an unknown update type are both reported', () => {
    expect(messages([7, 'changed'])).toEqual([
      'watcher 0: a table must be a name, the result of table(), or a Drizzle table, not 7',
      'watcher 0: unknown update type "changed"',
    ]);
    for (const entry of [
      [7, 'updated'],
      ['users', 'changed'],
    ])
      expect(checkEntries([entry]).watchers).toEqual([]);
  });

  test.each([
    [{ lable: 'x' }, "unknown watcher option 'lable'"],
    [{ extraColumns: 'a' }, 'extraColumns must be a list of column names, not "a"'],
    [{ extraColumns: ['a', ''] }, "extraColumns must be a list of column names, not [ 'a', '' ]"],
    [{ extraColumns: [7] }, 'extraColumns must be a list of column names, not [ 7 ]'],
    [{ label: 'x', triggerColumns: {} }, 'triggerColumns must be a list of column names, not {}'],
    [{ absent: 'null' }, `absent must be 'throw' or 'omit', not "null"`],
    [{ label: '' }, 'invalid label ""'],
    [{ label: 7 }, 'invalid label 7'],
    [{ triggerColumns: ['a'] }, 'triggerColumns needs a label'],
  ])('%j', (options, message) => {
    const name = 'label' in options && options.label === 'x' ? 'x' : 'users:updated';
    expect(checkEntries([['users', 'updated', options]]).issues).toMatchObject([
      { message: `${name}: ${message}`, watcher: name },
    ]);
  });

  test('a colon in a label, because it would look like another identifier', () => {
    expect(messages(['users', 'updated', { label: 'a:b' }])).toEqual(['a:b: invalid label "a:b"']);
  });

  test.each(['inserted', 'deleted', 'truncated'])('triggerColumns on %s', (type) => {
    expect(messages(['users', type, { label: 'x', triggerColumns: ['a'] }])).toEqual([
      `x: triggerColumns is for 'updated', not '${type}'`,
    ]);
  });

  test('extraColumns on truncated, which has no row', () => {
    expect(messages(['users', 'truncated', { extraColumns: ['a'] }])).toEqual([
      "users:truncated: 'truncated' has no row, so no extraColumns",
    ]);
  });

  test.each(['', '  ', 7, null])('%j instead of a SQL expression', (where) => {
    expect(messages(['users', 'updated', { where }])).toEqual([
      `users:updated: where must be a SQL expression, not ${JSON.stringify(where)}`,
    ]);
  });

  test('a row filter for TRUNCATE, which PostgreSQL does not filter', () => {
    expect(messages(['users', 'truncated', { where: 'id > 1' }])).toEqual([
      "users:truncated: 'truncated' has no row, so no where",
    ]);
  });

  test('another row filter for the same table, or none: one problem for each table, and the solution mentions `when`', () => {
    const { issues } = checkEntries([
      ['users', 'inserted', { where: 'id > 1' }],
      ['users', 'updated'],
      ['public.users', 'deleted', { where: 'id > 2' }],
      ['erp.users', 'updated', { where: 'id > 3' }],
    ]);
    expect(issues).toMatchObject([
      {
        watcher: 'users:updated',
        table: 'users',
        message: expect.stringContaining("its where differs from that of 'users:inserted'"),
        solution: expect.stringContaining('when'),
      },
    ]);
  });

  test('no row filter that is the same but for blanks around it, whatever the watchers of TRUNCATE have', () => {
    const { watchers, issues } = checkEntries([
      ['users', 'inserted', { where: ' id > 1\n' }],
      ['users', 'updated', { where: 'id > 1' }],
      ['users', 'truncated'],
    ]);
    expect(issues).toEqual([]);
    expect(watchers.map(({ where }) => where)).toEqual(['id > 1', 'id > 1', undefined]);
  });

  test('a second watcher of the same identifier, however it got that', () => {
    const two = (...entries: unknown[]) => checkEntries(entries).issues;
    const clash = [{ message: "two watchers have the name 'users:updated'", watcher: 'users:updated' }];
    expect(two(['users', 'updated'], ['public.users', 'updated'])).toMatchObject(clash);
    const mailed = { label: 'mailed' };
    expect(two(['users', 'updated', mailed], ['posts', 'inserted', mailed])).toHaveLength(1);
    expect(two(['users', 'updated'], ['users', 'updated', mailed], ['users', 'inserted'])).toEqual([]);
  });

  test('a column that a Drizzle table does not have, by its property names', () => {
    const users = pgTable('users', { id: integer().primaryKey(), roleId: integer('role_id') });
    const { issues } = checkEntries([
      [users, 'updated', { label: 'x', extraColumns: ['roleId', 'role_id'], triggerColumns: ['toString'] }],
    ]);
    expect(issues).toMatchObject([
      { message: "x: the Drizzle table 'users' has no column 'role_id'", column: 'role_id', table: 'users' },
      { message: "x: the Drizzle table 'users' has no column 'toString'", column: 'toString', table: 'users' },
    ]);
    expect(issues[0]!.solution).toContain('id, roleId');
    const keyed = table(users)({ primaryKey: 'role_id' as 'roleId' });
    expect(messages([keyed, 'inserted'])).toEqual([
      "users:inserted: the Drizzle table 'users' has no column 'role_id'",
    ]);
  });
});

describe('defineWatchers', () => {
  const define = defineWatchers as (entries: unknown) => { entries: readonly unknown[] };

  test('throws everything at once', () => {
    const wrong = [
      ['users', 'changed'],
      [7, 'updated'],
      ['users', 'updated', { absent: 'x' }],
    ];
    expect(() => define(wrong)).toThrow(ConfigurationError);
    expect(() => define(wrong)).toThrow('3 problems:');
  });

  test('gives the same with and without a schema type, and keeps what it checked', () => {
    const entries: unknown[] = [['users', 'updated']];
    const typed = defineWatchers<{ users: { id: number } }>()([['users', 'updated']]);
    expect(define(entries)).toEqual(typed);
    const { entries: kept } = define(entries);
    entries.push('nonsense');
    expect(kept).toHaveLength(1);
    expect(Object.isFrozen(kept)).toBe(true);
  });
});
