/** What a browser gets of the watchers' types. */
import { expectTypeOf, test } from 'vitest';
import { createClient, type LiveSource } from '../../src/client/index.ts';
import { defineWatchers, type Watch } from '../../src/index.ts';
import { createHooks } from '../../src/react/index.ts';
import { sse } from '../../src/sse/index.ts';

interface DB {
  users: { id: number; name: string; role_id: number | null; seen_at: Date };
  orders: { id: string; total: bigint };
}
const watchers = defineWatchers<DB>()([
  ['users', 'inserted', { extraColumns: ['name'] }],
  ['users', 'updated', { extraColumns: ['role_id', 'seen_at'] }],
  ['orders', 'updated', { label: 'order_changed', triggerColumns: ['total'], extraColumns: ['total'] }],
]);
type W = typeof watchers;
declare const watch: Watch<W>;

test('the client is typed by the watchers', () => {
  const client = createClient<W>({ url: '/live' });
  expectTypeOf(client).toEqualTypeOf<LiveSource<W>>();
  client.subscribe('users:updated', { role_id: 7 }, (event) => {
    expectTypeOf(event).toEqualTypeOf<{
      readonly id: number;
      readonly role_id: number | null;
      readonly seen_at: Date;
    }>();
  });
  client.subscribe('order_changed', 'a', (event) => expectTypeOf(event.total).toEqualTypeOf<bigint>());
  // @ts-expect-error no such watcher
  client.subscribe('users:deleted', () => {});
  // @ts-expect-error no extra column
  client.subscribe('users:updated', { name: 'Ada' }, () => {});
  // @ts-expect-error nothing to subscribe to by id
  client.subscribe('users:inserted', 1, () => {});
  // @ts-expect-error no such event
  client.on('error', () => {});
});

test('the hooks are typed by the client', () => {
  const { useWatch, useLive } = createHooks(createClient<W>({ url: '/live' }));
  useWatch('users:inserted', undefined, (event) => expectTypeOf(event.name).toEqualTypeOf<string>());
  // @ts-expect-error an id is a number
  useWatch('users:updated', 'a', () => {});
  const loaded = useLive('users:updated', 1, async (signal) => {
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    return { name: 'Ada' };
  });
  expectTypeOf(loaded).toEqualTypeOf<{ readonly data: { name: string } | undefined; readonly error: unknown }>();
});

test('authorize narrows by watcher, and is required', () => {
  const handler = sse(watch, {
    authorize: (request, wanted) => {
      expectTypeOf(request).toEqualTypeOf<Request>();
      expectTypeOf(wanted.watcher).toEqualTypeOf<'users:inserted' | 'users:updated' | 'order_changed'>();
      return wanted.watcher === 'users:updated' && typeof wanted.filter === 'object' && wanted.filter.role_id === 7;
    },
  });
  expectTypeOf(handler).toEqualTypeOf<(request: Request) => Promise<Response>>();
  // @ts-expect-error without authorize nothing would be served
  sse(watch, {});
});
