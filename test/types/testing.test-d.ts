/** A test watch is typed by its watchers, like the watch that it stands for. */
import type { Client } from 'pg';
import { expectTypeOf, test } from 'vitest';
import { defineWatchers, type SlotWatch, type Watch } from '../../src/index.ts';
import { createTestWatch, type TestChange, type TestWatch } from '../../src/testing/index.ts';
import type { MessageDescriptor } from '../../src/types/outbox.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', ['inserted', 'updated'], { extraColumns: ['role_id'] }],
  ['users', 'truncated'],
]);
const watch = createTestWatch(watchers);
declare const placed: MessageDescriptor<'order.placed', { id: number }>;

test('application code takes it', () => {
  expectTypeOf(watch).toEqualTypeOf<TestWatch<typeof watchers>>();
  expectTypeOf(watch).toExtend<Watch<typeof watchers>>();
  expectTypeOf(watch).toExtend<SlotWatch<typeof watchers>>();
  watch.subscribe('users:updated', { role_id: 7 }, (event, { previous }) => {
    expectTypeOf(event.id).toEqualTypeOf<number>();
    expectTypeOf(previous.role_id).toEqualTypeOf<typeof event.role_id | undefined>();
  });
  const subscription = watch.subscribe('users:inserted', () => {}, { name: 'search', existing: 'v1' });
  expectTypeOf(subscription.existing.done).toEqualTypeOf<Promise<void>>();
});

test('deliver takes the event of the watcher, and previous values of an update', () => {
  expectTypeOf(watch.deliver('users:updated', { id: 1, role_id: 2 }, { previous: { role_id: null } })).toEqualTypeOf<Promise<void>>(); // prettier-ignore
  void watch.deliver(
    'users:inserted',
    { id: 1, role_id: 2 },
    { existing: true, annotations: { actor: 'a' }, times: 2 },
  );
  void watch.deliver('users:truncated', {});
  // @ts-expect-error no such watcher
  void watch.deliver('users:deleted', { id: 1 });
  // @ts-expect-error a column is missing
  void watch.deliver('users:inserted', { id: 1 });
  // @ts-expect-error no such column
  void watch.deliver('users:inserted', { id: 1, role_id: 2, rol: 3 });
  // @ts-expect-error a value of another type
  void watch.deliver('users:inserted', { id: '1', role_id: 2 });
  // @ts-expect-error only 'updated' has previous values
  void watch.deliver('users:inserted', { id: 1, role_id: 2 }, { previous: { role_id: 1 } });
  // @ts-expect-error existing rows arrive as 'inserted'
  void watch.deliver('users:updated', { id: 1, role_id: 2 }, { existing: true });
  // @ts-expect-error no such option
  void watch.deliver('users:inserted', { id: 1, role_id: 2 }, { time: 2 });
});

test('a list is checked change by change', () => {
  void watch.deliver(
    [
      { watcher: 'users:inserted', event: { id: 1, role_id: 2 }, existing: true },
      { watcher: 'users:updated', event: { id: 1, role_id: 2 }, previous: { role_id: 1 } },
    ],
    { annotations: { actor: 'a' }, times: 2 },
  );
  const changes: TestChange<typeof watchers>[] = [{ watcher: 'users:truncated', event: {} }];
  void watch.deliver(changes);
  // @ts-expect-error the event of another watcher
  void watch.deliver([{ watcher: 'users:inserted', event: {} }]);
  // @ts-expect-error only 'updated' has previous values
  void watch.deliver([{ watcher: 'users:inserted', event: { id: 1, role_id: 2 }, previous: { role_id: 1 } }]);
});

test('deliverMessage takes the value of the message, or a prefix and content', () => {
  expectTypeOf(watch.deliverMessage(placed, { id: 1 }, { key: '1', times: 2 })).toEqualTypeOf<Promise<void>>();
  void watch.deliverMessage('cache', 'users', { annotations: { actor: 'a' } });
  void watch.deliverMessage('cache', new Uint8Array());
  // @ts-expect-error a value of another type
  void watch.deliverMessage(placed, { id: '1' });
  // @ts-expect-error a plain message has no key
  void watch.deliverMessage('cache', 'users', { key: '1' });
});

test('options', () => {
  createTestWatch(watchers, { onError: 'retry', logger: false });
  createTestWatch(watchers, { client: {} as Client });
  // @ts-expect-error no such option
  createTestWatch(watchers, { slot: 'a' });
  // Untyped watchers take any columns.
  void createTestWatch(defineWatchers([['users', 'inserted']])).deliver('users:inserted', { id: 1, anything: 2 });
});
