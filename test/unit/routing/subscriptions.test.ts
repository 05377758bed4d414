import { describe, expect, test, vi } from 'vitest';
import { ConfigurationError } from '../../../src/errors.ts';
import { afterAttempts, settingsOf } from '../../support/delivering.ts';
import { routingFor } from '../../support/routing.ts';
import { boundTo, usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const row = { id: '1', role_id: '7' };
const watching = () =>
  routingFor(usersTable(), ['users', 'updated', { extraColumns: ['role_id'] }], ['users', 'inserted']);

function problems(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigurationError) return error.issues.map(({ message }) => message);
    throw error;
  }
  return [];
}

describe('subscribe reads', () => {
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

  test('onError of its own, before that of the watch', () => {
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
  test('an unknown watcher, naming those that there are', () => {
    const { subscribe } = watching();
    expect(() => subscribe('users:deleted', noop)).toThrow(
      "there is no watcher 'users:deleted'\n    Known: users:updated, users:inserted.",
    );
  });

  test.each([undefined, null, 'x', {}])('%s for a handler', (handler) => {
    const { subscribe } = watching();
    expect(problems(() => subscribe('users:updated', 1, handler))).toEqual([
      'users:updated: the handler is not a function',
    ]);
  });

  test.each([
    [{ concurrency: 0 }, 'concurrency is a whole number, 1 or more'],
    [{ concurrency: 1.5 }, 'concurrency is a whole number, 1 or more'],
    [{ concurrency: '8' }, 'concurrency is a whole number, 1 or more'],
    [{ timeout: 0 }, 'timeout is a number of milliseconds, above 0'],
    [{ timeout: Number.NaN }, 'timeout is a number of milliseconds, above 0'],
    [{ timeout: '5s' }, 'timeout is a number of milliseconds, above 0'],
    [{ name: '' }, 'name is a non-empty string'],
    [{ name: 7 }, 'name is a non-empty string'],
    [{ signal: {} }, 'signal is an AbortSignal'],
    [{ onError: 'ignore' }, 'onError is none of its forms'],
    [{ onError: null }, 'onError is none of its forms'],
    [{ concurency: 8 }, "there is no subscribe option 'concurency'"],
    [null, 'the options of subscribe are an object'],
    [5, 'the options of subscribe are an object'],
  ])('the options %j', (options, message) => {
    const { subscribe, router } = watching();
    expect(problems(() => subscribe('users:updated', noop, options))).toEqual([message]);
    expect(router.subscriptions).toBe(0);
  });

  test('everything at once: filter, handler and options', () => {
    const { subscribe } = watching();
    const rest = [{ email: 'a' }, 'no handler', { concurrency: 0, timeout: -1, retries: 3 }];
    expect(problems(() => subscribe('users:updated', ...rest))).toHaveLength(5);
  });

  test('a filter after all that is undefined: a value that is not loaded is not everything', () => {
    const { subscribe } = watching();
    expect(problems(() => subscribe('users:updated', undefined, noop))).toEqual([
      'users:updated: undefined is no filter',
    ]);
  });
});

describe('a signal', () => {
  test('ends the subscription, and is let go of when that ends before', () => {
    const { subscribe, changed, receivers } = watching();
    const controller = new AbortController();
    const forget = vi.spyOn(controller.signal, 'removeEventListener');
    const one = subscribe('users:updated', noop, { signal: controller.signal });
    subscribe('users:updated', 1, noop, { signal: controller.signal });
    one.unsubscribe();
    expect(forget).toHaveBeenCalledTimes(1);
    changed('updated', row);
    expect(receivers()).toEqual(['users:updated 1']);
    controller.abort();
    changed('updated', row);
    expect(receivers()).toEqual([]);
  });

  test('that was aborted before makes a subscription that has ended', () => {
    const { subscribe, router } = watching();
    const one = subscribe('users:updated', noop, { signal: AbortSignal.abort() });
    expect([one.active, router.subscriptions]).toEqual([false, 0]);
    expect(() => one.unsubscribe()).not.toThrow();
  });
});

describe('unsubscribe', () => {
  test('mirrors subscribe: it ends those of this watcher, filter and handler, and no other', () => {
    const { subscribe, subscriptions, changed, receivers } = watching();
    const other = () => {};
    for (const rest of [[noop], [noop], [other], [1, noop], [{ role_id: 7 }, noop], [{ role_id: 7 }, other]])
      subscribe('users:updated', ...rest);
    const ended = (...rest: unknown[]) => subscriptions.unsubscribe('users:updated', rest);
    expect([ended(noop), ended(noop), ended('1', noop), ended({ role_id: '7' }, noop), ended({ role_id: 8 }, other)]).toEqual([2, 0, 1, 1, 0]); // prettier-ignore
    changed('updated', row);
    expect(receivers()).toEqual(['users:updated', 'users:updated {"role_id":7}']);
  });

  test('is the same as disposing of the subscription, which may be done twice', () => {
    const { subscribe, router } = watching();
    {
      using _one = subscribe('users:updated', noop);
      expect(router.subscriptions).toBe(1);
    }
    expect(router.subscriptions).toBe(0);
    expect(() => watching().subscriptions.unsubscribe('users', [noop])).toThrow(ConfigurationError);
  });
});

test('what an iterator is given: a filter or none, and options or none', () => {
  const { subscriptions } = watching();
  const signal = new AbortController().signal;
  const filters = [
    [],
    [undefined],
    [{ signal }],
    [1],
    [{ role_id: 7 }],
    [{ role_id: 7 }, { signal }],
    [1, undefined],
  ].map((rest) => subscriptions.iterate('users:updated', rest, noop).filter);
  expect(filters).toEqual([undefined, undefined, undefined, 1, { role_id: 7 }, { role_id: 7 }, 1]);
  expect(problems(() => subscriptions.iterate('users:updated', [undefined, { signal }], noop))).toHaveLength(1);
});

test('filters that were given before the primary key was known are checked once it is', () => {
  const table = usersTable({ primaryKey: ['role_id', 'email'] });
  const { subscribe, subscriptions } = routingFor(table, ['users', 'updated']);
  for (const filter of [1, { role_id: 1, email: 'a' }, { email: 'a', bio: 'b' }])
    subscribe('users:updated', filter, noop);
  subscribe('users:updated', noop);
  const found = subscriptions.issues(boundTo(table, ['users', 'updated']));
  expect(found.map(({ message }) => message)).toEqual([
    'users:updated: the primary key has 2 columns, not one',
    "users:updated: 'bio' is neither primary key nor in extraColumns",
  ]);
});
