import { describe, expect, test } from 'vitest';
import { table } from '../../../src/watchers/table.ts';
import { problemsOf } from '../../support/problems.ts';
import { recorder } from '../../support/recorder.ts';
import { routingFor } from '../../support/routing.ts';
import { usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const all = ['users:inserted', 'users:updated', 'users:deleted'];
const watching = () =>
  routingFor(
    usersTable({ replicaIdentity: 'full' }),
    ['users', 'inserted', { extraColumns: ['role_id'] }],
    ['users', 'updated', { extraColumns: ['role_id'] }],
    ['users', 'deleted', { extraColumns: ['role_id'] }],
    ['users', 'updated', { label: 'renamed', extraColumns: ['email'] }],
  );

describe('a row stream', () => {
  test('gets all changes of its watchers in commit order', () => {
    const { subscribe, bind, changed, delivered } = watching();
    bind();
    subscribe(all, noop);
    changed('inserted', { id: '1', role_id: '7' });
    changed('updated', { id: '1', role_id: '8' });
    changed('deleted', { id: '1', role_id: '8' });
    expect(delivered.map(({ event }) => event)).toEqual([
      { id: 1, role_id: 7 },
      { id: 1, role_id: 8 },
      { id: 1, role_id: 8 },
    ]);
  });

  test('gets a change once for each matching watcher', () => {
    const { subscribe, bind, changed, delivered } = watching();
    bind();
    subscribe(['users:updated', 'renamed'], noop);
    changed('updated', { id: '1', role_id: '8', email: 'a' });
    expect(delivered.map(({ event }) => event)).toEqual([
      { id: 1, role_id: 8 },
      { id: 1, email: 'a' },
    ]);
  });

  test('filters by the columns of each of its watchers', () => {
    const { subscribe, bind, changed, receivers } = watching();
    bind();
    subscribe(all, { role_id: 7 }, noop, { name: 'sevens' });
    changed('inserted', { id: '1', role_id: '7' });
    changed('updated', { id: '1', role_id: '8' }, { id: '1', role_id: '7' });
    changed('deleted', { id: '1', role_id: '8' });
    expect(receivers()).toEqual(['sevens', 'sevens']); // the update leaves the filter, the delete is outside of it
  });

  test('counts as one subscription, and is named after its watchers', () => {
    const { subscribe, router } = watching();
    const subscription = subscribe(all, noop);
    expect([router.subscriptions, subscription.name]).toEqual([1, all.join(', ')]);
    subscription.unsubscribe();
    subscription.unsubscribe();
    expect([router.subscriptions, [...router.routes.values()].map(({ count }) => count)]).toEqual([0, [0, 0, 0, 0]]);
  });

  test('ends by its list and handler, separately from subscriptions to one of its watchers', () => {
    const { subscribe, subscriptions, router } = watching();
    subscribe(all, noop);
    subscribe('users:inserted', noop);
    expect(subscriptions.unsubscribe(['users:inserted'], [noop])).toBe(0);
    expect(subscriptions.unsubscribe(all, [noop])).toBe(1);
    expect(router.subscriptions).toBe(1);
    expect(subscriptions.unsubscribe('users:inserted', [noop])).toBe(1);
  });

  test('may keep dead letters under its name, if the name is unique', () => {
    const { subscribe, subscriptions } = watching();
    subscribe(all, noop, { name: 'search', onError: { attempts: 1, then: 'deadLetter' } });
    expect([subscriptions.isUnique('search'), subscriptions.named('search')?.name]).toEqual([true, 'search']);
    subscribe('renamed', noop, { name: 'search' });
    expect(subscriptions.isUnique('search')).toBe(false);
  });
});

test('the handler of a row stream gets changes, and that of a batch the context of each change', () => {
  const { subscribe } = watching();
  const handler = recorder((...given: readonly unknown[]) => given);
  const context = { watcher: 'users:updated', type: 'updated' };
  subscribe(all, handler).handler({ id: 1 }, context);
  expect(handler.all).toEqual([[{ ...context, event: { id: 1 }, context }, context]]);
  handler.all.length = 0;
  const inserted = { watcher: 'users:inserted', type: 'inserted' };
  const whole = { contexts: [inserted, context] };
  subscribe(all, handler, { batch: { size: 2 } }).handler([{ id: 1 }, { id: 2 }], whole);
  expect(handler.all).toEqual([
    [
      [
        { ...inserted, event: { id: 1 }, context: inserted },
        { ...context, event: { id: 2 }, context },
      ],
      whole,
    ],
  ]);
});

describe('a list of watchers is refused', () => {
  test('with all that is wrong with it', () => {
    const { subscribe } = watching();
    expect(problemsOf(() => subscribe([], noop))).toEqual(['the list of watchers is empty']);
    expect(problemsOf(() => subscribe(['users:insert', 'renamed', 'renamed', 7 as never], noop))).toEqual([
      "the list contains the watcher 'renamed' twice",
      "there is no watcher 'users:insert'",
      "there is no watcher '7'",
    ]);
  });

  test('with a filter that one of the watchers cannot have', () => {
    const { subscribe } = watching();
    expect(problemsOf(() => subscribe([...all, 'renamed'], { role_id: 7 }, noop))).toEqual([
      "renamed: 'role_id' is neither part of the primary key nor in extraColumns",
    ]);
  });

  test('when two watchers of a table have different keys for its records', () => {
    const keyed = usersTable({ replicaIdentity: 'full', uniqueKeys: [['id'], ['email']] });
    const byEmail = table()({ tableName: 'users', primaryKey: ['email'] });
    const byId = table()({ tableName: 'users', primaryKey: ['id'] });
    const { subscribe } = routingFor(keyed, [byId, 'inserted'], [byEmail, 'deleted']);
    expect(problemsOf(() => subscribe(['users:inserted', 'users:deleted'], noop))).toEqual([
      "'users:inserted' and 'users:deleted' have different primary keys of public.users: (id) and (email)",
    ]);
  });
});
