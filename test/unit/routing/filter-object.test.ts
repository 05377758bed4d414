import { expect, test } from 'vitest';
import { routingFor } from '../../support/routing.ts';
import { column, oids, usersTable } from '../../support/sample-tables.ts';

test('a filter object that is changed after subscribing does not change the subscription', () => {
  const columns = [column('id', oids.int4, { notNull: true }), column('role_id', oids.uuid)];
  const { bind, subscribe, changed, receivers } = routingFor(usersTable({ columns }), [
    'users', 'updated', { extraColumns: ['role_id'] },
  ]); // prettier-ignore
  const filter = { role_id: 'A' };
  subscribe('users:updated', filter, () => {}, { name: 'a' });
  filter.role_id = 'B';
  subscribe('users:updated', filter, () => {}, { name: 'b' });
  bind(); // with the types of the columns, subscriptions are found under new keys
  changed('updated', { id: '1', role_id: 'a' });
  expect(receivers()).toEqual(['a']);
  changed('updated', { id: '1', role_id: 'b' });
  expect(receivers()).toEqual(['b']);
});
