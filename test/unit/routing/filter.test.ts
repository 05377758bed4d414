import { describe, expect, test } from 'vitest';
import { filterIssues } from '../../../src/routing/filter.ts';
import type { Filter } from '../../../src/routing/subscription.ts';
import type { UpdateType } from '../../../src/types/watchers.ts';
import { watchersFor } from '../../support/sample-tables.ts';

function issues(type: UpdateType, filter: unknown, primaryKey: readonly string[] | undefined = ['id']) {
  const options = type === 'truncated' ? {} : { extraColumns: ['role_id', 'team_id'] };
  return filterIssues(watchersFor(['users', type, options])[0]!, filter as Filter, primaryKey);
}
const messages = (...given: Parameters<typeof issues>) => issues(...given).map(({ message }) => message);

describe('is accepted:', () => {
  test.each([1, '1', 1n, true, ''])('an id: %s', (id) => {
    for (const type of ['updated', 'deleted'] as const) expect(issues(type, id)).toEqual([]);
  });

  test('values of extra columns, null included, and of the primary key', () => {
    for (const filter of [{ role_id: 7 }, { role_id: null, team_id: 'x' }, { id: 1, role_id: 2 }])
      expect(issues('updated', filter)).toEqual([]);
    expect(issues('inserted', { role_id: 7 })).toEqual([]);
  });

  test('a complete composite key, even on inserted: a row may be awaited by it', () => {
    for (const type of ['inserted', 'updated'] as const)
      expect(issues(type, { order_id: 1, line: 2 }, ['order_id', 'line'])).toEqual([]);
  });

  test('a key before the database is known: it may be id, or any other', () => {
    const unknown = undefined;
    const before = (filter: unknown) => filterIssues(watchersFor(['users', 'updated'])[0]!, filter as Filter, unknown);
    expect(before(1)).toEqual([]);
    expect(before({ id: 1 })).toEqual([]);
    expect(before({ order_id: 1, line: 2 })).toEqual([]);
  });
});

describe('is refused:', () => {
  test('a filter on a truncate', () => {
    expect(messages('truncated', 1)).toEqual([
      expect.stringContaining('concerns the whole table and cannot be filtered'),
    ]);
  });

  test('an id on an insert, as a value or by its column', () => {
    expect(messages('inserted', 1)).toEqual([expect.stringContaining("'inserted' cannot be filtered by id")]);
    expect(messages('inserted', { id: 1 })).toEqual([expect.stringContaining("'id' is not in extraColumns")]);
  });

  test('one value for a composite key', () => {
    const [issue] = issues('updated', 1, ['order_id', 'line']);
    expect(issue!.message).toContain('the primary key has 2 columns, not one');
    expect(issue!.solution).toContain('{ order_id: …, line: … }');
  });

  test('null for an id', () => {
    expect(messages('updated', null)).toEqual([expect.stringContaining('an id cannot be null')]);
  });

  test.each([undefined, () => {}, Symbol('s')])('a value of the wrong kind: %s', (filter) => {
    const found = filterIssues(watchersFor(['users', 'updated'])[0]!, filter as unknown as Filter, ['id']);
    expect(found).toMatchObject([{ message: expect.stringContaining('is not a filter') }]);
  });

  test.each([[{}], [[]], [new Date(0)]])('a filter without columns: %j', (filter) => {
    expect(messages('updated', filter)).toEqual(['users:updated: the filter names no column']);
  });

  test('columns that the event does not carry, each named', () => {
    const found = issues('updated', { email: 'a', role_id: 1, bio: 'b' });
    expect(found).toMatchObject(
      ['email', 'bio'].map((column) => ({
        message: `users:updated: '${column}' is neither part of the primary key nor in extraColumns`,
        solution: "Add it to the watcher's extraColumns (now: role_id, team_id).",
        watcher: 'users:updated',
        table: 'users',
        column,
      })),
    );
  });

  test('one column that cannot be the whole key, before the database was queried', () => {
    const [issue] = filterIssues(watchersFor(['users', 'updated'])[0]!, { email: 'a' }, undefined);
    expect(issue!.message).toContain("'email' is neither part of the primary key nor in extraColumns");
    expect(issue!.solution).toContain('name the key with table(…)');
  });

  test('values that are not scalars, each named', () => {
    expect(messages('updated', { role_id: undefined, team_id: new Date(0), id: 1 })).toEqual([
      "users:updated: the value for 'role_id' is undefined",
      "users:updated: the value for 'team_id' is not a scalar",
    ]);
  });
});
