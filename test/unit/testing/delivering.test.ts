/** What `deliver` delivers, and to whom. */
import { expect, test } from 'vitest';
import { defineWatchers, table } from '../../../src/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { recorder } from '../../support/recorder.ts';

interface DB {
  users: { id: number; role_id: number | null; email: string; seen_at: Date; tags: bigint[] };
  orders: { id: number; total: string };
}

const watchers = defineWatchers<DB>()(
  [
    ['users', ['inserted', 'deleted'], { extraColumns: ['role_id'] }],
    ['users', 'updated', { extraColumns: ['role_id', 'seen_at', 'tags'] }],
    ['users', 'updated', { label: 'contact_changed', extraColumns: ['email'], triggerColumns: ['email'] }],
    ['users', 'truncated'],
    ['orders', 'inserted', { extraColumns: ['total'] }],
    ['orders', 'updated', { label: 'order_paid', extraColumns: ['total'] }],
  ],
  { when: { order_paid: (event, previous) => event.total === '0' && previous.total !== '0' } },
);
const testWatch = () => createTestWatch(watchers, { logger: false });

test('a handler gets the very values that the test gives, in a frozen event', async () => {
  const watch = testWatch();
  const handler = recorder();
  watch.subscribe('users:updated', handler);
  const values = { id: 1, role_id: null, seen_at: new Date(), tags: [1n, 2n] };
  const previous = { role_id: 3, seen_at: new Date(0), tags: [] };
  await watch.deliver('users:updated', values, { previous });
  const [event] = handler.all;
  expect(event).toEqual(values);
  expect(event.seen_at).toBe(values.seen_at);
  expect(event.tags).toBe(values.tags);
  expect(Object.isFrozen(event)).toBe(true);
  const [context] = handler.contexts;
  expect(context!.previous).toEqual({ id: 1, ...previous });
  expect(context!.previous['seen_at']).toBe(previous.seen_at);
});

test('the context is that of a change which PostgreSQL has sent', async () => {
  const watch = testWatch();
  const handler = recorder();
  watch.subscribe('users:inserted', handler);
  await watch.deliver('users:inserted', { id: 1, role_id: 2 });
  await watch.deliver('users:inserted', { id: 2, role_id: 2 });
  const [first, second] = handler.contexts;
  const { commitLsn } = first!;
  expect(commitLsn).toMatch(/^16\/[\dA-F]{8}$/);
  expect(first).toMatchObject({
    watcher: 'users:inserted', type: 'inserted', schema: 'public', table: 'users', eventId: `${commitLsn}/0`, ordinal: 0, xid: expect.any(Number),
    committedAt: expect.any(Date), attempt: 1, absent: [], existing: false, previous: {}, annotations: {},
  }); // prettier-ignore
  expect(first!.signal.aborted).toBe(false);
  expect(second!.xid).toBe(first!.xid + 1);
  expect(second!.commitLsn > commitLsn).toBe(true);
});

test('an update without previous values has its primary key as the only known one', async () => {
  const watch = testWatch();
  const handler = recorder();
  watch.subscribe('users:updated', handler);
  await watch.deliver('users:updated', { id: 1, role_id: 2, seen_at: new Date(), tags: [] });
  expect(handler.contexts[0]!.previous).toEqual({ id: 1 });
});

test('a filter selects by the new and by the old values', async () => {
  const watch = testWatch();
  const [one, two, three] = [recorder(), recorder(), recorder()];
  watch.subscribe('users:updated', { role_id: 1 }, one);
  watch.subscribe('users:updated', { role_id: 2 }, two);
  watch.subscribe('users:updated', 3, three);
  const change = { id: 7, role_id: 2, seen_at: new Date(), tags: [] };
  await watch.deliver('users:updated', change, { previous: { role_id: 1 } });
  await watch.deliver('users:updated', change);
  expect([one.all.length, two.all.length, three.all.length]).toEqual([1, 2, 0]);
});

test('a condition sees event and previous values', async () => {
  const watch = testWatch();
  const handler = recorder();
  watch.subscribe('order_paid', handler);
  await watch.deliver('order_paid', { id: 1, total: '0' }, { previous: { total: '0' } });
  await watch.deliver('order_paid', { id: 2, total: '0' }, { previous: { total: '5' } });
  expect(handler.all).toEqual([{ id: 2, total: '0' }]);
});

test('trigger columns count as changed unless the old value is given and equal', async () => {
  const watch = testWatch();
  const handler = recorder();
  watch.subscribe('contact_changed', handler);
  await watch.deliver('contact_changed', { id: 1, email: 'a' }, { previous: { email: 'a' } });
  await watch.deliver('contact_changed', { id: 2, email: 'a' }, { previous: { email: 'b' } });
  await watch.deliver('contact_changed', { id: 3, email: 'a' });
  expect(handler.all.map(({ id }) => id)).toEqual([2, 3]);
});

test('only the subscriptions of the named watcher get a change', async () => {
  const watch = testWatch();
  const [inserted, stream] = [recorder(), recorder()];
  watch.subscribe('users:inserted', inserted);
  watch.subscribe(['users:inserted', 'users:deleted', 'users:truncated'], stream);
  await watch.deliver('users:deleted', { id: 1, role_id: null });
  await watch.deliver('users:truncated', {});
  expect(inserted.all).toEqual([]);
  expect(stream.all.map(({ type, event }) => [type, event])).toEqual([['deleted', { id: 1, role_id: null }], ['truncated', {}]]); // prettier-ignore
});

test('a list is one transaction, in its order', async () => {
  const watch = testWatch();
  const [each, whole] = [recorder(), recorder()];
  watch.subscribe(['users:inserted', 'orders:inserted'], each);
  watch.onTransaction(async (transaction, context) => whole(await transaction.toArray(), context));
  await watch.deliver(
    [
      { watcher: 'orders:inserted', event: { id: 5, total: '1' } },
      { watcher: 'users:inserted', event: { id: 1, role_id: 2 } },
    ],
    { annotations: { actor: 'user:7' } },
  );
  const { commitLsn } = whole.contexts[0]!;
  expect(each.all.map(({ watcher, context }) => [watcher, context.eventId])).toEqual([
    ['orders:inserted', `${commitLsn}/0`],
    ['users:inserted', `${commitLsn}/1`],
  ]);
  expect(whole.all[0].map(({ event }: { event: unknown }) => event)).toEqual([{ id: 5, total: '1' }, { id: 1, role_id: 2 }]); // prettier-ignore
  expect(whole.contexts[0]).toMatchObject({ eventId: commitLsn, annotations: { actor: 'user:7' } });
  expect(each.contexts.map(({ annotations }) => annotations)).toEqual([{ actor: 'user:7' }, { actor: 'user:7' }]);
});

test('times delivers a change again, with the same event id, after its handlers are done', async () => {
  const watch = testWatch();
  const ids: string[] = [];
  let running = 0;
  watch.subscribe('users:inserted', async (_, { eventId, attempt }) => {
    expect(++running).toBe(1);
    await Promise.resolve();
    running--;
    ids.push(`${eventId} ${attempt}`);
  });
  await watch.deliver('users:inserted', { id: 1, role_id: 1 }, { times: 3 });
  expect(ids).toHaveLength(3);
  expect(new Set(ids).size).toBe(1);
});

test("with absent: 'omit' a column can be left out, and is absent then", async () => {
  const omitting = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['email', 'role_id'], absent: 'omit' }]]);
  const watch = createTestWatch(omitting);
  const handler = recorder();
  watch.subscribe('users:updated', handler);
  await watch.deliver('users:updated', { id: 1, role_id: 2 });
  expect(handler.all).toEqual([{ id: 1, role_id: 2 }]);
  expect(handler.contexts[0]!.absent).toEqual(['email']);
});

test('a table has the names of its definition', async () => {
  const lines = table<{ orderId: number; line: number; qty: number }>()({
    tableName: 'Order Lines', schema: 'erp', primaryKey: ['orderId', 'line'], columnMap: { orderId: 'order_id' },
  }); // prettier-ignore
  const watch = createTestWatch(defineWatchers([[lines, 'updated', { extraColumns: ['qty'] }]]));
  const [handler, filtered] = [recorder(), recorder()];
  watch.subscribe('erp.Order Lines:updated', handler);
  watch.subscribe('erp.Order Lines:updated', { orderId: 1, line: 2 }, filtered);
  await watch.deliver('erp.Order Lines:updated', { orderId: 1, line: 2, qty: 3 });
  await watch.deliver('erp.Order Lines:updated', { orderId: 1, line: 3, qty: 3 });
  expect(handler.contexts[0]).toMatchObject({ schema: 'erp', table: 'Order Lines', previous: { orderId: 1, line: 2 } });
  expect([handler.all.length, filtered.all.length]).toEqual([2, 1]);
  expect(watch.details('erp.Order Lines:updated')).toMatchObject({
    primaryKey: ['orderId', 'line'],
    columns: undefined,
  });
});
