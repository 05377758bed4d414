/** `defineWatchers(…, { when })`. */
import { beforeAll, expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

interface DB {
  orders: { id: number; status: string; note: string | null };
}

beforeAll(async () => {
  await db.sql('create table orders (id int generated always as identity primary key, status text, note text)');
  await db.sql('alter table orders alter note set storage external');
});

test('only events that match its condition are delivered, by old values and new; the rest is acknowledged', async () => {
  await db.sql('alter table orders replica identity full');
  const watchers = defineWatchers<DB>()(
    [
      ['orders', 'updated', { label: 'order_paid', extraColumns: ['status'] }],
      ['orders', 'updated', { extraColumns: ['status'] }],
      ['orders', 'deleted', { extraColumns: ['status'] }],
    ],
    {
      when: {
        order_paid: (event, previous) => event.status === 'paid' && previous.status !== 'paid',
        'orders:deleted': (event) => event.status !== 'draft',
      },
    },
  );
  const watch = watchOf(watchers);
  const seen: unknown[] = [];
  watch.subscribe('order_paid', ({ id }, { previous }) => void seen.push(['paid', id, previous.status]));
  watch.subscribe('orders:deleted', ({ id, status }) => void seen.push(['deleted', id, status]));
  const whole: unknown[] = [];
  watch.onTransaction(async (transaction) => {
    for (const { watcher, event } of await transaction.toArray()) whole.push([watcher, event]);
  });
  await watch.start();
  await db.sql(`insert into orders (status) values ('draft'), ('draft')`);
  await db.sql(`update orders set status = 'paid' where id = 1`);
  await db.sql(`update orders set note = 'thanks' where id = 1`);
  await db.sql(`delete from orders`);
  await settled(db, watch);
  expect(seen).toEqual([['paid', 1, 'draft'], ['deleted', 1, 'paid']]); // prettier-ignore
  expect(whole).toEqual([
    ['order_paid', { id: 1, status: 'paid' }],
    ['orders:updated', { id: 1, status: 'paid' }],
    ['orders:updated', { id: 1, status: 'paid' }],
    ['orders:deleted', { id: 1, status: 'paid' }],
  ]);
});

test('an error in a condition goes to onError, and so does reading a value that was not sent', async () => {
  await db.sql('alter table orders replica identity default');
  const [row] = await db.sql<{ id: number }>(
    `insert into orders (status, note) values ('new', repeat('x', 10000)) returning id`,
  );
  const watchers = defineWatchers<DB>()([['orders', 'updated', { extraColumns: ['status', 'note'] }]], {
    when: {
      'orders:updated': (event) => {
        if (event.status === 'broken') throw new Error('no such status');
        return event.note !== null;
      },
    },
  });
  const watch = watchOf(watchers);
  const failures: unknown[] = [];
  watch.on('handlerFailed', ({ subscription, error, action }) => failures.push([subscription, String(error), action]));
  const seen: unknown[] = [];
  watch.subscribe('orders:updated', ({ status, note }) => void seen.push([status, note]), {
    onError: { attempts: 1, then: 'skip' },
    name: 'all',
  });
  watch.subscribe('orders:updated', row!.id + 1, () => expect.unreachable(), { name: 'another' });
  await watch.start();
  await db.sql(`update orders set status = 'absent'`);
  await db.sql(`update orders set status = 'broken'`);
  await db.sql(`update orders set status = 'fine', note = 'short'`);
  await db.sql(`update orders set status = 'out', note = null`);
  await settled(db, watch);
  expect(seen).toEqual([['fine', 'short']]);
  expect(failures).toEqual([
    ['all', expect.stringContaining("did not send the value of 'note'"), 'skip'],
    ['all', 'Error: no such status', 'skip'],
  ]);
});
