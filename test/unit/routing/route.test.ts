import { describe, expect, test } from 'vitest';
import { routingFor } from '../../support/routing.ts';
import { column, oids, usersTable } from '../../support/sample-tables.ts';

const noop = () => {};
const updated = ['users', 'updated', { extraColumns: ['role_id', 'email'] }] as const;
const watching = (replicaIdentity: 'default' | 'full' = 'default') =>
  routingFor(usersTable({ replicaIdentity }), updated);
const row = { id: '1', role_id: '7', email: 'a@b' };

describe('an update is delivered to', () => {
  test('subscriptions to all rows, to this id, or to these values, of which all must be equal', () => {
    const { bind, subscribe, changed, receivers } = watching();
    bind();
    subscribe('users:updated', noop);
    for (const filter of [
      1,
      2,
      { role_id: 7 },
      { role_id: 8 },
      { role_id: 7, email: 'a@b' },
      { role_id: 7, email: 'c' },
    ])
      subscribe('users:updated', filter, noop);
    changed('updated', row);
    expect(receivers()).toEqual([
      'users:updated',
      'users:updated 1',
      'users:updated {"role_id":7}',
      'users:updated {"role_id":7,"email":"a@b"}',
    ]);
  });

  test('filters in any order of their columns', () => {
    const { subscribe, changed, receivers } = watching();
    subscribe('users:updated', { role_id: 7, email: 'a@b' }, noop);
    subscribe('users:updated', { email: 'a@b', role_id: 7 }, noop);
    changed('updated', row);
    expect(receivers()).toHaveLength(2);
  });

  test('null where the value is null, not where it is empty or the text null', () => {
    const { subscribe, changed, receivers } = watching();
    for (const value of [null, 'null', '']) subscribe('users:updated', { email: value }, noop);
    for (const value of [null, 'null']) subscribe('users:updated', { email: value, role_id: 7 }, noop);
    changed('updated', { ...row, email: null });
    expect(receivers()).toEqual(['users:updated {"email":null}', 'users:updated {"email":null,"role_id":7}']);
  });

  test('the subscribers of the old value too, when it is known and differs', () => {
    const { subscribe, changed, receivers } = watching('full');
    for (const filter of [{ role_id: 7 }, { role_id: 8 }, { role_id: 9 }, 1]) subscribe('users:updated', filter, noop);
    changed('updated', { ...row, role_id: '8' }, row);
    expect(receivers()).toEqual(['users:updated {"role_id":8}', 'users:updated {"role_id":7}', 'users:updated 1']);
  });

  test('each subscriber once, when the value did not change', () => {
    const { subscribe, changed, receivers } = watching('full');
    subscribe('users:updated', { role_id: 7 }, noop);
    changed('updated', row, row);
    expect(receivers()).toEqual(['users:updated {"role_id":7}']);
  });

  test('the subscribers of the new value only, when the old one is unknown', () => {
    const { subscribe, changed, receivers } = watching();
    for (const role of [7, 8]) subscribe('users:updated', { role_id: role }, noop);
    changed('updated', { ...row, role_id: '8' });
    changed('updated', { ...row, id: '2', role_id: '8' }, { id: '1' });
    expect(receivers()).toEqual(['users:updated {"role_id":8}', 'users:updated {"role_id":8}']);
  });

  test('both ids, when the primary key changed', () => {
    const { subscribe, changed, receivers } = watching();
    for (const id of [1, 2, 3]) subscribe('users:updated', id, noop);
    changed('updated', { ...row, id: '2' }, { id: '1' });
    expect(receivers()).toEqual(['users:updated 2', 'users:updated 1']);
  });
});

describe('a value that was not sent', () => {
  test('is taken from the old row, if possible', () => {
    const { subscribe, changed, delivered } = watching('full');
    subscribe('users:updated', { email: 'a@b' }, noop);
    changed('updated', { id: '1', role_id: '7' }, row);
    expect(delivered).toMatchObject([{ event: { email: 'a@b' }, obstacle: undefined }]);
  });

  test('otherwise matches every filter by it whose other values match: a duplicate is better than a loss', () => {
    const { subscribe, changed, delivered, warnings } = watching();
    subscribe('users:updated', noop);
    for (const filter of [1, 2, { email: 'a@b' }, { email: 'c@d' }, { role_id: 7, email: 'x' }, { role_id: 7 }])
      subscribe('users:updated', filter, noop);
    subscribe('users:updated', { role_id: 8, email: 'x' }, noop);
    changed('updated', { id: '1', role_id: '7' });
    expect(delivered.map(({ to, obstacle }) => [to, obstacle])).toEqual([
      ['users:updated', undefined],
      ['users:updated 1', undefined],
      ['users:updated {"email":"a@b"}', undefined],
      ['users:updated {"email":"c@d"}', undefined],
      ['users:updated {"role_id":7,"email":"x"}', undefined],
      ['users:updated {"role_id":7}', undefined],
    ]);
    // Reported once for each watcher.
    changed('updated', { id: '1', role_id: '7' });
    expect(warnings).toMatchObject([{ code: 'VALUE_ABSENT', message: expect.stringContaining("users:updated: PostgreSQL did not send the value of 'email'") }]); // prettier-ignore
  });
});

test('does not exclude the subscribers of the old values', () => {
  const { subscribe, changed, receivers } = watching();
  for (const role of [6, 7, 8]) subscribe('users:updated', { role_id: role, email: 'x' }, noop);
  changed('updated', { id: '1', role_id: '7' }, { id: '1', role_id: '6' });
  expect(receivers()).toEqual(['users:updated {"role_id":6,"email":"x"}', 'users:updated {"role_id":7,"email":"x"}']);
});

describe('a subscription made by a handler does not get the change that the handler was called for,', () => {
  const kinds = { 'all rows': [], 'an id': [1], 'a value': [{ role_id: 7 }], 'two values': [{ role_id: 7, email: 'a@b' }] } as const; // prettier-ignore

  test.each(Object.entries(kinds))('made for %s; it gets the next one', (_, filter) => {
    for (const [, made] of Object.entries(kinds)) {
      const { subscribe, changed, receivers } = watching();
      let first = true;
      const handler = () => {
        if (!first) return;
        first = false;
        subscribe('users:updated', ...made, noop, { name: 'made' });
      };
      subscribe('users:updated', ...filter, handler, { name: 'maker' });
      changed('updated', row);
      expect(receivers()).toEqual(['maker']);
      changed('updated', row);
      expect(receivers().toSorted()).toEqual(['made', 'maker']);
    }
  });

  test.each(Object.entries(kinds))('not even when it replaces one for %s that ended', (_, filter) => {
    const { subscribe, changed, receivers } = watching();
    const again = (): void => {
      const one = subscribe('users:updated', ...filter, () => {
        one.unsubscribe();
        again();
      });
    };
    again();
    for (let count = 0; count < 3; count++) {
      changed('updated', row);
      expect(receivers()).toHaveLength(1);
    }
  });

  test('nor the same change through another watcher, nor when a value was not sent', () => {
    const { subscribe, changed, receivers } = routingFor(usersTable(), updated, [
      'users', 'updated', { label: 'other', extraColumns: ['email'] },
    ]); // prettier-ignore
    let made = false;
    subscribe('users:updated', () => {
      if (made) return;
      made = true;
      subscribe('other', noop);
      subscribe('other', { email: 'x' }, noop);
    });
    changed('updated', { id: '1', role_id: '7' });
    expect(receivers()).toEqual(['users:updated']);
    changed('updated', { id: '1', role_id: '7' });
    expect(receivers()).toEqual(['users:updated', 'other', 'other {"email":"x"}']);
  });
});

describe('keys compare as in PostgreSQL, by the type of the column,', () => {
  const uuid = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11';
  const table = usersTable({
    columns: [
      column('id', oids.uuid, { notNull: true }),
      column('role_id', oids.numeric),
      column('email', oids.bpchar),
      column('active', oids.bool),
    ],
  });
  const entry = ['users', 'updated', { extraColumns: ['role_id', 'email', 'active'] }] as const;
  const values = { id: uuid.toLowerCase(), role_id: '1.50', email: 'ab   ', active: 't' };
  const filters = [
    uuid,
    { role_id: 1.5 },
    { email: 'ab' },
    { active: true },
    { role_id: '1.5', email: 'ab', active: 'true' },
  ];

  test.each(['before', 'after'])('for subscriptions made %s the types were known', (when) => {
    const { bind, subscribe, changed, receivers } = routingFor(table, entry);
    if (when === 'after') bind();
    const all = filters.map((filter) => subscribe('users:updated', filter, noop));
    if (when === 'before') bind();
    changed('updated', values);
    expect(receivers()).toHaveLength(filters.length);
    bind(); // again at each connection
    changed('updated', values);
    expect(receivers()).toHaveLength(filters.length);
    for (const one of all) one.unsubscribe();
    changed('updated', values);
    expect(receivers()).toEqual([]);
  });
});

test('the columns used in filters are known while a subscription has them', () => {
  const { router, subscribe } = watching();
  expect(router.routes.get('users:updated')!.filteredBy).toEqual([]);
  const all = [{ role_id: 7, email: 'a' }, { role_id: 8 }, 1].map((filter) => subscribe('users:updated', filter, noop));
  expect(new Set(router.routes.get('users:updated')!.filteredBy)).toEqual(new Set(['email', 'role_id']));
  all[0]!.unsubscribe();
  expect(router.routes.get('users:updated')!.filteredBy).toEqual(['role_id']);
  all[1]!.unsubscribe();
  expect(router.routes.get('users:updated')!.filteredBy).toEqual([]);
});
