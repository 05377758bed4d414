import { describe, expect, test, vi } from 'vitest';
import { ConfigurationError } from '../../../src/errors.ts';
import { SubscriptionList } from '../../../src/routing/subscription-list.ts';
import type { ActiveSubscription } from '../../../src/routing/subscription.ts';
import { problemsOf } from '../../support/problems.ts';
import { routingFor } from '../../support/routing.ts';
import { usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const row = { id: '1', role_id: '7' };
const watching = () =>
  routingFor(usersTable(), ['users', 'updated', { extraColumns: ['role_id', 'email'] }], ['users', 'inserted']);

describe('a signal', () => {
  test('ends the subscriptions that are still active', () => {
    const { subscribe, changed, receivers } = watching();
    const controller = new AbortController();
    const one = subscribe('users:updated', noop, { signal: controller.signal });
    subscribe('users:updated', 1, noop, { signal: controller.signal });
    one.unsubscribe();
    changed('updated', row);
    expect(receivers()).toEqual(['users:updated 1']);
    controller.abort();
    changed('updated', row);
    expect(receivers()).toEqual([]);
  });

  test('has one listener for all its subscriptions, and none once the last one has ended', () => {
    const { subscribe, subscriptions } = watching();
    const { signal } = new AbortController();
    const listen = vi.spyOn(signal, 'addEventListener');
    const forget = vi.spyOn(signal, 'removeEventListener');
    const all = [
      ...[1, 2, 2].map((id) => subscribe('users:updated', id, noop, { signal })),
      subscriptions.subscribeToMessages('outbox', noop, { signal }),
      subscriptions.subscribeToTransactions(noop, { signal }),
      subscriptions.iterate('users:updated', [{ signal }], noop),
    ];
    expect(listen).toHaveBeenCalledTimes(1);
    for (const one of all.slice(1)) one.unsubscribe();
    expect(forget).not.toHaveBeenCalled();
    all[0]!.unsubscribe();
    expect(forget).toHaveBeenCalledTimes(1);
    subscribe('users:updated', noop, { signal });
    expect(listen).toHaveBeenCalledTimes(2);
  });

  test('that is already aborted creates an ended subscription', () => {
    const { subscribe, router } = watching();
    const one = subscribe('users:updated', noop, { signal: AbortSignal.abort() });
    expect([one.active, router.subscriptions]).toEqual([false, 0]);
    expect(() => one.unsubscribe()).not.toThrow();
  });
});

describe('the cost of ending subscriptions grows linearly with their number:', () => {
  const kinds = {
    'all rows': [],
    'one id': [1],
    'one value': [{ role_id: 7 }],
    'two values': [{ role_id: 7, email: 'x' }],
  } as const;
  const orders = { first: (at: number) => at, last: (at: number, count: number) => count - 1 - at };

  /** How often the subscriptions of a list are visited while all of them end. */
  function looks(filter: readonly unknown[], count: number, order: (at: number, count: number) => number): number {
    const { subscribe } = watching();
    let looked = 0;
    const all = Array.from({ length: count }, () => subscribe('users:updated', ...filter, noop));
    for (const one of all) {
      let { active } = one;
      Object.defineProperty(one, 'active', {
        get: () => (looked++, active),
        set: (now: boolean) => {
          active = now;
        },
      });
    }
    for (let at = 0; at < count; at++) all[order(at, count)]!.unsubscribe();
    return looked;
  }

  test.each(Object.entries(kinds).flatMap(([name, filter]) => Object.entries(orders).map(([which, order]) => [name, which, filter, order] as const)))(
    'of those for %s, the %s one first',
    (_, __, filter, order) => {
      expect(looks(filter, 2000, order)).toBeLessThanOrEqual(2.1 * looks(filter, 1000, order));
      expect(looks(filter, 2000, order)).toBeLessThan(8 * 2000);
    },
  ); // prettier-ignore

  test('those with other handlers are not visited when subscriptions end by their handler', () => {
    const { subscribe, subscriptions } = watching();
    let looked = 0;
    const handlers = Array.from({ length: 2000 }, () => () => {});
    for (const handler of handlers) {
      const one = subscribe('users:updated', 1, handler);
      Object.defineProperty(one, 'userHandler', { get: () => (looked++, handler) });
    }
    for (const handler of handlers) expect(subscriptions.unsubscribe('users:updated', [1, handler])).toBe(1);
    expect(looked).toBeLessThan(8 * 2000);
  });

  test('ended subscriptions are released before they outnumber the active ones', () => {
    const list = new SubscriptionList();
    const all = Array.from({ length: 100 }, () => ({ active: true }) as ActiveSubscription);
    for (const one of all) list.add(one);
    for (const one of all.slice(0, 60)) {
      one.active = false;
      list.remove();
    }
    expect([list.count, list.active.length, list.withHandler(noop)]).toEqual([40, 40, []]);
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

  test('is the same as disposing of the subscription, and can be repeated', () => {
    const { subscribe, router } = watching();
    {
      using _one = subscribe('users:updated', noop);
      expect(router.subscriptions).toBe(1);
    }
    expect(router.subscriptions).toBe(0);
    expect(() => watching().subscriptions.unsubscribe('users', [noop])).toThrow(ConfigurationError);
  });
});

test('the arguments of an iterator: a filter or none, and options or none', () => {
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
