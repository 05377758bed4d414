import { describe, expect, test, vi } from 'vitest';
import { afterAttempts, settingsOf } from '../../support/delivering.ts';
import { problemsOf } from '../../support/problems.ts';
import type { ActiveSubscription } from '../../../src/routing/subscription.ts';
import { Subscriptions } from '../../../src/routing/subscriptions.ts';
import { noSession, routingFor } from '../../support/routing.ts';
import { usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const watching = () => routingFor(usersTable(), ['users', 'updated'], ['users', 'inserted']);
const letters = { onError: afterAttempts(3, 'deadLetter') };

describe('a name under which data is stored', () => {
  test.each([
    ['positions', { transaction: true }],
    ['dead letters', letters],
  ])('belongs to one subscription: %s', (what, options) => {
    const { subscribe, router } = watching();
    subscribe('users:updated', noop, options);
    expect(problemsOf(() => subscribe('users:updated', noop, options))).toEqual([
      `two subscriptions have the name 'users:updated', but ${what} are stored by subscription name`,
    ]);
    expect(problemsOf(() => subscribe('users:updated', noop, { ...options, name: 'mail' }))).toEqual([]);
    expect(problemsOf(() => subscribe('users:inserted', noop, { ...options, name: 'mail' }))).toHaveLength(1);
    expect(router.subscriptions).toBe(2);
  });

  test('is free again when that subscription has ended', () => {
    const { subscribe } = watching();
    subscribe('users:updated', noop, letters).unsubscribe();
    const controller = new AbortController();
    subscribe('users:updated', noop, { ...letters, signal: controller.signal });
    controller.abort();
    subscribe('users:updated', noop, { ...letters, signal: AbortSignal.abort() });
    expect(problemsOf(() => subscribe('users:updated', noop, letters))).toEqual([]);
  });

  test('may be shared with subscriptions that store nothing', () => {
    const { subscribe } = watching();
    subscribe('users:updated', noop, letters);
    for (let times = 0; times < 2; times++) expect(problemsOf(() => subscribe('users:updated', noop))).toEqual([]);
    subscribe('users:updated', noop, { signal: new AbortController().signal }).unsubscribe();
    expect(problemsOf(() => subscribe('users:updated', noop, letters))).toHaveLength(1);
  });

  test('is unique among subscriptions to messages too', () => {
    const { subscribe, subscriptions } = watching();
    subscribe('users:updated', noop, { ...letters, name: 'mail' });
    const more = { ...letters, name: 'mail' };
    expect(problemsOf(() => subscriptions.subscribeToMessages('outbox', noop, more))).toHaveLength(1);
  });
});

test('iterators, which have no names, get a number where data would be stored under the name', () => {
  const { router, subscribe } = watching();
  const subscriptions = new Subscriptions(router, letters, noSession);
  const iterate = () => subscriptions.iterate('users:updated', [], noop);
  const [first, second] = [iterate(), iterate()];
  expect([first.name, second.name]).toEqual(['users:updated (iterator 1)', 'users:updated (iterator 2)']);
  first.unsubscribe();
  expect(iterate().name).toBe('users:updated (iterator 1)');
  expect(subscriptions.subscribe('users:updated', [noop]).name).toBe('users:updated');
  expect(subscribe('users:updated', noop).name).toBe('users:updated');
});

test('an iterator with existing is refused where existing rows cannot be read, as on a remote watch', () => {
  const { router } = watching();
  const subscriptions = new Subscriptions(router, letters, noSession);
  const options = { name: 'copy', existing: 'v1' };
  expect(problemsOf(() => subscriptions.iterate('users:inserted', [options], noop))).toEqual([
    "unknown subscribe option 'name'",
    "unknown subscribe option 'existing'",
  ]);
});

test('the number of an ended iterator is used again; a number that is taken or was never used is not', () => {
  const { router } = watching();
  const subscriptions = new Subscriptions(router, letters, noSession);
  const iterate = (options: object[] = []) => subscriptions.iterate('users:updated', options, noop);
  subscriptions.subscribe('users:updated', [noop, { name: 'users:updated (iterator 2)' }]);
  iterate([{ signal: AbortSignal.abort() }]);
  const all = [iterate(), iterate(), iterate()];
  const numbers = (of: readonly ActiveSubscription[]) => of.map(({ name }) => Number(/(\d+)\)$/.exec(name)![1]));
  expect(numbers(all)).toEqual([1, 3, 4]);
  all[1]!.unsubscribe();
  expect(numbers([iterate(), iterate()])).toEqual([3, 5]);
});

test('a subscription is found by its name, one that stores data first', () => {
  const { subscribe, subscriptions } = watching();
  subscribe('users:updated', noop, { name: 'mail' });
  const kept = subscribe('users:updated', noop, { ...letters, name: 'mail' });
  const plain = subscribe('users:updated', 1, noop);
  const message = subscriptions.subscribeToMessages('outbox', noop, undefined);
  const names = ['mail', 'users:updated 1', 'message:outbox', 'none'];
  expect(names.map((name) => subscriptions.named(name))).toEqual([kept, plain, message, undefined]);
});

test('a subscription without options holds nothing extra, since there are many; one with dead letters calls the handler directly', () => {
  const { subscribe } = watching();
  expect(subscribe('users:updated', noop)).toMatchObject({ onEnd: undefined, exactlyOnce: undefined, handler: noop });
  expect(subscribe('users:updated', noop, letters)).toMatchObject({ exactlyOnce: undefined, handler: noop });
});

test('the session of a transaction is closed with its subscription, and cut with the watch', async () => {
  const { subscribe, subscriptions } = watching();
  const [one, other] = ['a', 'b'].map(
    (name) => subscribe('users:updated', noop, { transaction: true, name }).exactlyOnce!,
  );
  const [close, cut] = [vi.spyOn(one!, 'close'), vi.spyOn(other!, 'cut')];
  subscriptions.named('a')!.unsubscribe();
  await subscriptions.close();
  expect([close.mock.calls.length, cut.mock.calls.length]).toEqual([1, 1]);
});

test('with a transaction events are handled one at a time', () => {
  const { subscribe } = watching();
  expect(subscribe('users:updated', noop, { transaction: true }).settings).toEqual(settingsOf({ transaction: true }));
  expect(problemsOf(() => subscribe('users:inserted', noop, { transaction: true, concurrency: 2 }))).toEqual([
    'transaction: true handles one event at a time and cannot be combined with concurrency',
  ]);
});

test('a handler inside a transaction is found by the function that was subscribed', () => {
  const { subscribe, subscriptions } = watching();
  const one = subscribe('users:updated', noop, { transaction: true });
  expect([one.handler === noop, one.userHandler === noop]).toEqual([false, true]);
  expect(subscriptions.unsubscribe('users:updated', [noop])).toBe(1);
});
