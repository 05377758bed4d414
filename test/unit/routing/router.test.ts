import { describe, expect, test } from 'vitest';
import { routingFor } from '../../support/routing.ts';
import { usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const row = { id: '1', role_id: '7', email: 'a@b' };

test('each watcher hears its type of change, with its own columns', () => {
  const { subscribe, changed, delivered } = routingFor(
    usersTable({ replicaIdentity: 'full' }),
    ['users', 'inserted'],
    ['users', 'updated', { extraColumns: ['role_id'] }],
    ['users', 'updated', { label: 'mailed', extraColumns: ['email'] }],
    ['users', 'deleted'],
    ['users', 'truncated'],
  );
  for (const name of ['users:inserted', 'users:updated', 'mailed', 'users:deleted', 'users:truncated'])
    subscribe(name, noop);
  for (const type of ['inserted', 'updated', 'deleted', 'truncated'] as const) changed(type, row);
  expect(delivered.map(({ to, event }) => [to, event])).toEqual([
    ['users:inserted', { id: 1 }],
    ['users:updated', { id: 1, role_id: 7 }],
    ['mailed', { id: 1, email: 'a@b' }],
    ['users:deleted', { id: 1 }],
    ['users:truncated', {}],
  ]);
});

test('an update that changed none of the trigger columns is nothing to their watcher', () => {
  const { subscribe, changed, receivers } = routingFor(
    usersTable({ replicaIdentity: 'full' }),
    ['users', 'updated', { label: 'mailed', triggerColumns: ['email'] }],
    ['users', 'updated'],
  );
  for (const name of ['mailed', 'users:updated']) subscribe(name, noop);
  changed('updated', { ...row, role_id: '8' }, row);
  expect(receivers()).toEqual(['users:updated']);
  changed('updated', { ...row, email: 'c@d' }, row);
  expect(receivers()).toEqual(['mailed', 'users:updated']);
});

test('one event is made for all subscriptions of a watcher, and none when there is nobody', () => {
  const { subscribe, changed, delivered } = routingFor(usersTable(), ['users', 'updated']);
  changed('updated', { id: 'no number, which nobody reads' });
  for (const filter of [1, 2]) subscribe('users:updated', filter, noop);
  for (let times = 0; times < 2; times++) subscribe('users:updated', noop);
  changed('updated', row);
  expect(delivered).toHaveLength(3);
  expect(new Set(delivered.map(({ event }) => event)).size).toBe(1);
});

describe('subscriptions come and go while a change is delivered', () => {
  const watching = () => routingFor(usersTable(), ['users', 'updated', { extraColumns: ['role_id'] }]);

  test.each([[[]], [[{ role_id: 7 }]]])('one that ends itself disturbs no other (filter: %j)', (filter) => {
    const { subscribe, changed, receivers } = watching();
    const first = subscribe('users:updated', ...filter, () => first.unsubscribe());
    for (let times = 0; times < 2; times++) subscribe('users:updated', ...filter, noop);
    changed('updated', row);
    expect(receivers()).toHaveLength(3);
    changed('updated', row);
    expect(receivers()).toHaveLength(2);
  });

  test.each([[[]], [[{ role_id: 7 }]]])('one that is made meanwhile hears what comes next (filter: %j)', (filter) => {
    const { subscribe, changed, receivers } = watching();
    subscribe('users:updated', ...filter, () => void subscribe('users:updated', ...filter, noop));
    changed('updated', row);
    expect(receivers()).toHaveLength(1);
    changed('updated', row);
    expect(receivers()).toHaveLength(2);
  });
});

test('how many subscriptions there are is known', () => {
  const { router, subscribe } = routingFor(usersTable(), ['users', 'updated'], ['users', 'inserted']);
  const all = [
    subscribe('users:updated', noop),
    subscribe('users:updated', 1, noop),
    subscribe('users:inserted', noop),
  ];
  expect(router.subscriptions).toBe(3);
  for (const one of all) {
    one.unsubscribe();
    one.unsubscribe();
  }
  expect(router.subscriptions).toBe(0);
});

test('a watcher with debug logs what it receives and to whom that goes, before it goes', () => {
  const { subscribe, changed, lines } = routingFor(
    usersTable(),
    ['users', 'updated', { debug: true }],
    ['users', 'inserted'],
  );
  subscribe('users:updated', () => lines.push('handled'));
  for (const name of ['users:updated', 'users:inserted']) subscribe(name, noop);
  changed('updated', row);
  changed('inserted', row);
  expect(lines).toEqual([
    'change received: users:updated',
    'delivering to users:updated',
    'handled',
    'delivering to users:updated',
  ]);
});

test('what throws on the way to the subscriptions ends the watch: the event does not come again over the next connection', () => {
  const { subscribe, changed } = routingFor(usersTable(), ['users', 'inserted']);
  const broken = new TypeError('broken');
  subscribe('users:inserted', () => {
    throw broken; // here in place of the dispatcher
  });
  expect(() => changed('inserted', row)).toThrow(
    expect.objectContaining({ code: 'PROTOCOL', retry: 'never', message: 'the event 0/100/0 could not be routed: TypeError: broken', cause: broken }),
  ); // prettier-ignore
});
