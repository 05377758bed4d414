import { describe, expect, test, vi } from 'vitest';
import { ConfigurationError } from '../../../src/errors.ts';
import { problemsOf } from '../../support/problems.ts';
import { routingFor } from '../../support/routing.ts';
import { usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const row = { id: '1', role_id: '7' };
const watching = () =>
  routingFor(usersTable(), ['users', 'updated', { extraColumns: ['role_id'] }], ['users', 'inserted']);

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
    expect([ended(noop), ended(noop), ended('1', noop), ended({ role_id: '7' }, noop)]).toEqual([2, 0, 1, 1]);
    expect([ended({ role_id: 8 }, other), ended({ id: 1 }, noop)]).toEqual([0, 0]);
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
  expect(problemsOf(() => subscriptions.iterate('users:updated', [undefined, { signal }], noop))).toHaveLength(1);
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const iterated = [[options], [1, options], [], [1]].map((rest) => subscriptions.iterate('users:updated', rest, noop));
  controller.abort();
  expect(iterated.map(({ active }) => active)).toEqual([false, false, true, true]);
});
