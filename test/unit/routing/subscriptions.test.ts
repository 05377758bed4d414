import { describe, expect, test } from 'vitest';
import { afterAttempts, settingsOf } from '../../support/delivering.ts';
import { problemsOf } from '../../support/problems.ts';
import { routingFor } from '../../support/routing.ts';
import { TypeCatalog } from '../../../src/postgres/types.ts';
import { boundTo, column, oids, usersTable } from '../../support/sample-tables.ts';
import { table } from '../../../src/watchers/table.ts';

const noop = () => {};
const watching = () =>
  routingFor(usersTable(), ['users', 'updated', { extraColumns: ['role_id'] }], ['users', 'inserted']);

describe('subscribe accepts', () => {
  test('a handler, or a filter and a handler, each with options or without', () => {
    const { subscribe } = watching();
    const settings = settingsOf();
    const options = { concurrency: 8, timeout: 500, name: 'mail' };
    expect(subscribe('users:updated', noop)).toMatchObject({ filter: undefined, handler: noop, settings });
    expect(subscribe('users:updated', 1, noop)).toMatchObject({ filter: 1, handler: noop, settings });
    expect(subscribe('users:updated', noop, options)).toMatchObject({
      filter: undefined,
      settings: settingsOf(options),
    });
    expect(subscribe('users:updated', { role_id: 7 }, noop, options)).toMatchObject({
      filter: { role_id: 7 }, handler: noop, settings: settingsOf(options),
    }); // prettier-ignore
  });

  test('options that omit something, which then has its default', () => {
    const { subscribe } = watching();
    expect(subscribe('users:updated', noop, {}).settings).toEqual(settingsOf());
    expect(subscribe('users:updated', noop, { timeout: 0.5 }).settings).toEqual(settingsOf({ timeout: 0.5 }));
  });

  test('onError of the subscription, before that of the watch', () => {
    const { subscribe } = watching();
    expect(subscribe('users:updated', noop, { onError: afterAttempts(2, 'skip') }).settings.onError).toEqual(
      afterAttempts(2, 'skip'),
    );
  });

  test('a name, by default the watcher with the filter', () => {
    const { subscribe } = watching();
    const names = [[noop], ['a"b', noop], [1n, noop], [{ role_id: 2n ** 60n }, noop], [noop, { name: 'mail' }]].map(
      (rest) => subscribe('users:updated', ...rest).name,
    );
    expect(names).toEqual([
      'users:updated',
      'users:updated "a\\"b"',
      'users:updated "1"',
      'users:updated {"role_id":"1152921504606846976"}',
      'mail',
    ]);
  });
});

describe('subscribe refuses', () => {
  test('an unknown watcher, with the list of known ones', () => {
    const { subscribe } = watching();
    expect(() => subscribe('users:deleted', noop)).toThrow(
      "there is no watcher 'users:deleted'\n    Known watchers: users:updated, users:inserted.",
    );
  });

  test.each([undefined, null, 'x', {}])('%s for a handler', (handler) => {
    const { subscribe } = watching();
    expect(problemsOf(() => subscribe('users:updated', 1, handler))).toEqual([
      'users:updated: the handler is not a function',
    ]);
  });

  test.each([
    [{ concurrency: 0 }, 'concurrency must be a whole number, 1 or more, not 0'],
    [{ concurrency: 1.5 }, 'concurrency must be a whole number, 1 or more, not 1.5'],
    [{ concurrency: '8' }, 'concurrency must be a whole number, 1 or more, not "8"'],
    [{ timeout: 0 }, 'timeout must be a number of milliseconds above 0 and at most 2147483647, not 0'],
    [{ timeout: Number.NaN }, 'timeout must be a number of milliseconds above 0 and at most 2147483647, not NaN'],
    [{ timeout: '5s' }, 'timeout must be a number of milliseconds above 0 and at most 2147483647, not "5s"'],
    [{ name: '' }, 'name must be a non-empty string without NUL, not ""'],
    [{ name: 7 }, 'name must be a non-empty string without NUL, not 7'],
    [{ name: 'a\0b' }, 'name must be a non-empty string without NUL, not "a\\u0000b"'],
    [{ signal: {} }, 'signal must be an AbortSignal, not {}'],
    [{ onError: 'ignore' }, `onError must be 'retry', { attempts, then } or a function, not "ignore"`],
    [{ onError: null }, "onError must be 'retry', { attempts, then } or a function, not null"],
    [{ concurency: 8 }, "unknown subscribe option 'concurency'"],
    [null, 'the options of subscribe must be an object, not null'],
    [5, 'the options of subscribe must be an object, not 5'],
  ])('the options %j', (options, message) => {
    const { subscribe, router } = watching();
    expect(problemsOf(() => subscribe('users:updated', noop, options))).toEqual([message]);
    expect(router.subscriptions).toBe(0);
  });

  test('a function for a filter', () => {
    const { subscribe } = watching();
    expect(problemsOf(() => subscribe('users:updated', noop, noop))).toEqual([
      expect.stringContaining('is not a filter'),
    ]);
  });

  test('everything at once: filter, handler and options', () => {
    const { subscribe } = watching();
    const rest = [{ email: 'a' }, 'no handler', { concurrency: 0, timeout: -1, retries: 3 }];
    expect(problemsOf(() => subscribe('users:updated', ...rest))).toHaveLength(5);
  });

  test('one value for a composite key, as soon as the key is known', () => {
    const keyed = table()({ tableName: 'users', primaryKey: ['id', 'email'] });
    const { subscribe } = routingFor(usersTable(), [keyed, 'updated']);
    expect(problemsOf(() => subscribe('users:updated', 1, noop))).toEqual([
      'users:updated: the primary key has 2 columns, not one',
    ]);
    expect(problemsOf(() => subscribe('users:updated', { id: 1, email: 'a' }, noop))).toEqual([]);
  });

  test('undefined as a filter: a value that is not loaded must not select everything', () => {
    const { subscribe } = watching();
    expect(problemsOf(() => subscribe('users:updated', undefined, noop))).toEqual([
      'users:updated: undefined is not a filter',
    ]);
  });
});

test('filters from before the primary key was known are checked once it is', () => {
  const table = usersTable({ primaryKey: ['role_id', 'email'] });
  const { subscribe, subscriptions } = routingFor(table, ['users', 'updated']);
  for (const filter of [1, { role_id: 1, email: 'a' }, { email: 'a', bio: 'b' }])
    subscribe('users:updated', filter, noop);
  subscribe('users:updated', noop);
  const found = subscriptions.issues(boundTo(table, ['users', 'updated']), new TypeCatalog(undefined));
  expect(found.map(({ message }) => message)).toEqual([
    'users:updated: the primary key has 2 columns, not one',
    "users:updated: 'bio' is neither part of the primary key nor in extraColumns",
  ]);
});

test('a number above 2^53 is checked when the type of its column is known: at bind, or at once after it', () => {
  const columns = [
    column('id', 20, { number: 1, notNull: true }),
    column('amount', oids.numeric, { number: 2 }),
    column('team_id', 20),
  ];
  const sample = usersTable({ columns });
  for (const reference of ['users', table<any>()({ tableName: 'users', primaryKey: 'id' })]) {
    const entry = [reference, 'updated', { extraColumns: ['amount', 'team_id'] }] as const;
    const { subscribe, subscriptions, bind } = routingFor(sample, entry);
    const wrong = [2 ** 53 + 2, { id: 2 ** 53 + 2 }, { team_id: -(2 ** 53) }];
    for (const filter of [{ amount: 1e16 }, ...wrong]) subscribe('users:updated', filter, noop);
    const issues = () => subscriptions.issues(boundTo(sample, entry), new TypeCatalog(undefined));
    expect(issues().map(({ message }) => /'.*?, /.exec(message)![0])).toEqual([
      "'id' is 9007199254740994, ",
      "'id' is 9007199254740994, ",
      "'team_id' is -9007199254740992, ",
    ]);
    bind();
    expect(issues()).toEqual([]); // checked once
    subscribe('users:updated', { amount: 1e16 }, noop);
    for (const filter of wrong)
      expect(problemsOf(() => subscribe('users:updated', filter, noop))).toMatchObject([
        expect.stringContaining('above 2^53'),
      ]);
  }
});
