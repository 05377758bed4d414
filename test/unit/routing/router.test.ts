import { describe, expect, test } from 'vitest';
import { routingFor } from '../../support/routing.ts';
import { usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const row = { id: '1', role_id: '7', email: 'a@b' };

test('each watcher gets its type of change, with its own columns', () => {
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

test('an update that changed none of the trigger columns is skipped for their watcher', () => {
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

test('one event is built for all subscriptions of a watcher, and none without subscriptions', () => {
  const { subscribe, changed, delivered } = routingFor(usersTable(), ['users', 'updated']);
  changed('updated', { id: 'not a number, but never parsed' });
  for (const filter of [1, 2]) subscribe('users:updated', filter, noop);
  for (let times = 0; times < 2; times++) subscribe('users:updated', noop);
  changed('updated', row);
  expect(delivered).toHaveLength(3);
  expect(new Set(delivered.map(({ event }) => event)).size).toBe(1);
});

describe('while a change is delivered', () => {
  const watching = () => routingFor(usersTable(), ['users', 'updated', { extraColumns: ['role_id'] }]);

  test.each([[[]], [[{ role_id: 7 }]]])(
    'a subscription that ends itself does not disturb others (filter: %j)',
    (filter) => {
      const { subscribe, changed, receivers } = watching();
      const first = subscribe('users:updated', ...filter, () => first.unsubscribe());
      for (let times = 0; times < 2; times++) subscribe('users:updated', ...filter, noop);
      changed('updated', row);
      expect(receivers()).toHaveLength(3);
      changed('updated', row);
      expect(receivers()).toHaveLength(2);
    },
  );

  test.each([[[]], [[{ role_id: 7 }]]])('a new subscription gets the next change (filter: %j)', (filter) => {
    const { subscribe, changed, receivers } = watching();
    subscribe('users:updated', ...filter, () => void subscribe('users:updated', ...filter, noop));
    changed('updated', row);
    expect(receivers()).toHaveLength(1);
    changed('updated', row);
    expect(receivers()).toHaveLength(2);
  });
});

test('subscriptions are counted', () => {
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

test('a watcher with debug logs a change and its recipients, before it is delivered', () => {
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

test('an exception during routing ends the watch: the event is not delivered again over the next connection', () => {
  const { subscribe, changed } = routingFor(usersTable(), ['users', 'inserted']);
  const broken = new TypeError('broken');
  subscribe('users:inserted', () => {
    throw broken; // here instead of in the dispatcher
  });
  expect(() => changed('inserted', row)).toThrow(
    expect.objectContaining({ code: 'PROTOCOL', retry: 'never', message: 'the event 0/100/0 could not be routed: TypeError: broken', cause: broken }),
  ); // prettier-ignore
});
