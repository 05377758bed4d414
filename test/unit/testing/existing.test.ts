/** Existing rows that a test delivers. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../../src/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { recorder } from '../../support/recorder.ts';
import { deferred } from '../../support/until.ts';

interface DB {
  users: { id: number; role_id: number };
}
const watchers = defineWatchers<DB>()([['users', ['inserted', 'updated'], { extraColumns: ['role_id'] }]]);
const row = { id: 1, role_id: 2 };
const existing = { existing: true } as const;

test('a row reaches only subscriptions with the option, as a row of the table', async () => {
  const watch = createTestWatch(watchers);
  const [reader, other, whole] = [recorder(), recorder(), recorder()];
  watch.subscribe(['users:inserted', 'users:updated'], reader, { name: 'search', existing: 'v1' });
  watch.subscribe('users:inserted', other);
  watch.onTransaction(whole);
  await watch.deliver('users:inserted', row, existing);
  expect(reader.all.map(({ event }) => event)).toEqual([row]);
  expect(reader.contexts[0]).toMatchObject({
    existing: true, type: 'inserted', eventId: 'existing/v1/1/public.users/1', commitLsn: '0/0', xid: 0, ordinal: 0, previous: {}, annotations: {},
  }); // prettier-ignore
  expect([other.all, whole.all]).toEqual([[], []]);
});

test('filters and conditions apply', async () => {
  const some = defineWatchers<DB>()([['users', 'inserted', { extraColumns: ['role_id'] }]], {
    when: { 'users:inserted': ({ id }) => id > 1 },
  });
  const watch = createTestWatch(some);
  const reader = recorder();
  watch.subscribe('users:inserted', { role_id: 2 }, reader, { name: 'search', existing: 'v1' });
  for (const given of [row, { id: 2, role_id: 1 }, { id: 3, role_id: 2 }])
    await watch.deliver('users:inserted', given, existing);
  expect(reader.all).toEqual([{ id: 3, role_id: 2 }]);
  expect(reader.contexts.map(({ existing: is }) => is)).toEqual([true]);
});

test('the progress counts the rows, and done resolves when none is left', async () => {
  const watch = createTestWatch(watchers);
  const running = deferred();
  const subscription = watch.subscribe('users:inserted', () => running.promise, { name: 'search', existing: 'v1' });
  expect(subscription.existing).toMatchObject({ version: 'v1', state: 'waiting', rows: 0, estimatedRows: undefined });
  const rows = [1, 2].map((id) => ({ watcher: 'users:inserted', event: { id, role_id: 1 }, existing: true }) as const);
  const delivered = watch.deliver(rows);
  expect(subscription.existing.state).toBe('reading');
  expect(watch.status().existing).toEqual([
    { subscription: 'search', version: 'v1', state: 'reading', rows: 0, estimatedRows: undefined },
  ]);
  running.resolve();
  await Promise.all([delivered, subscription.existing.done]);
  expect(subscription.existing).toMatchObject({ state: 'done', rows: 2 });
});

test('a row that comes after the others is read again: done is another promise', async () => {
  const watch = createTestWatch(watchers);
  const running = deferred();
  const handler = ({ id }: { readonly id: number }) => (id === 2 ? running.promise : undefined);
  const subscription = watch.subscribe('users:inserted', handler, { name: 'search', existing: 'v1' });
  await watch.deliver('users:inserted', row, existing);
  const before = subscription.existing.done;
  await before;
  const delivered = watch.deliver('users:inserted', { id: 2, role_id: 1 }, existing);
  expect(subscription.existing).toMatchObject({ state: 'reading', rows: 1 });
  expect(subscription.existing.done).not.toBe(before);
  running.resolve();
  await Promise.all([delivered, subscription.existing.done]);
  expect(subscription.existing).toMatchObject({ state: 'done', rows: 2 });
});

test('without any row, done resolves after start()', async () => {
  const watch = createTestWatch(watchers);
  const before = watch.subscribe('users:inserted', () => {}, { name: 'search', existing: 'v1' });
  await watch.start();
  await before.existing.done;
  const later = watch.subscribe('users:inserted', () => {}, { name: 'later', existing: { version: 'v2' } });
  await later.existing.done;
  expect(later.existing).toMatchObject({ version: 'v2', state: 'done', rows: 0 });
});

test('done rejects when the subscription or the watch ends before', async () => {
  const watch = createTestWatch(watchers);
  const options = { existing: 'v1' } as const;
  const one = watch.subscribe('users:inserted', () => {}, { name: 'one', ...options });
  const two = watch.subscribe('users:inserted', () => {}, { name: 'two', ...options });
  one.unsubscribe();
  await expect(one.existing.done).rejects.toMatchObject({ code: 'STOPPED' });
  await watch.stop();
  await expect(two.existing.done).rejects.toMatchObject({ code: 'STOPPED' });
});

test('rows and changes of one list keep their order, and rows do not number the changes', async () => {
  const watch = createTestWatch(watchers);
  const reader = recorder();
  watch.subscribe(['users:inserted', 'users:updated'], reader, { name: 'search', existing: 'v1' });
  await watch.deliver([
    { watcher: 'users:inserted', event: row, existing: true },
    { watcher: 'users:updated', event: row },
  ]);
  expect(reader.contexts.map(({ existing: is, ordinal, type }) => [is, ordinal, type])).toEqual([
    [true, 0, 'inserted'],
    [false, 0, 'updated'],
  ]);
});

test('an iterator gets rows as well', async () => {
  const watch = createTestWatch(watchers);
  const changes = watch.events('users:inserted', { name: 'loop', existing: 'v1' });
  const delivered = watch.deliver('users:inserted', row, existing);
  await expect(changes.next()).resolves.toMatchObject({ value: { event: row, context: { existing: true } } });
  await changes.return!();
  await delivered;
});

test('a failing handler rejects the delivery, and the row is done with', async () => {
  const watch = createTestWatch(watchers, { logger: false });
  const error = new Error('no');
  const options = { name: 'search', existing: 'v1' } as const;
  const subscription = watch.subscribe('users:inserted', () => Promise.reject(error), options);
  await expect(watch.deliver('users:inserted', row, existing)).rejects.toBe(error);
  await subscription.existing.done;
});

test('if no subscription has the option, the row goes to all of them, with a warning', async () => {
  const watch = createTestWatch(watchers);
  const [warnings, handler] = [recorder(), recorder()];
  watch.on('warning', warnings);
  watch.subscribe('users:inserted', handler);
  await watch.deliver('users:inserted', row, existing);
  expect(handler.contexts).toMatchObject([{ existing: true }]);
  expect(warnings.all).toMatchObject([{ code: 'CONFIGURATION', message: expect.stringContaining('users:inserted') }]);
});
