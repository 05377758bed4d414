/** The watchers' types in a browser. */
import { expectTypeOf, test } from 'vitest';
import { createClient, type LiveSource, type Refusal } from '../../src/client/index.ts';
import { defineWatchers, type Watch } from '../../src/index.ts';
import { createHooks } from '../../src/react/index.ts';
import { onlyOwn, sse, type Subscription } from '../../src/sse/index.ts';

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
  // @ts-expect-error not an extra column
  client.subscribe('users:updated', { name: 'Ada' }, () => {});
  // @ts-expect-error 'inserted' cannot be filtered by id
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
  expectTypeOf(loaded).toEqualTypeOf<{
    readonly data: { name: string } | undefined;
    readonly error: unknown;
    readonly reload: () => void;
  }>();
});

test('hooks accept undefined for an id that is not known yet; the client does not', () => {
  const client = createClient<W>({ url: '/live' });
  const { useWatch, useLive } = createHooks(client);
  const id = 1 as number | undefined;
  // @ts-expect-error an unknown id does not mean all rows
  client.subscribe('users:updated', undefined, () => {});
  // @ts-expect-error not known yet
  client.subscribe('users:updated', id, () => {});
  // @ts-expect-error not known yet
  client.subscribe('users:updated', { role_id: id }, () => {});
  useWatch('users:updated', id, (event) => expectTypeOf(event.role_id).toEqualTypeOf<number | null>());
  useWatch('users:updated', (event) => expectTypeOf(event.role_id).toEqualTypeOf<number | null>(), { enabled: false });
  const page = 2;
  const { data } = useLive('users:updated', { role_id: id }, async () => [page], { deps: [page], enabled: true });
  expectTypeOf(data).toEqualTypeOf<number[] | undefined>();
  expectTypeOf(useLive('users:inserted', async () => 'all').data).toEqualTypeOf<string | undefined>();
  // @ts-expect-error no such column
  useLive('users:updated', { nobody: id }, async () => 1);
});

test('refusals and failures are typed', () => {
  const client = createClient<W>({ url: () => '/live', headers: async () => ({ authorization: 'Bearer x' }) });
  client.on('refused', (refusal) => expectTypeOf(refusal).toEqualTypeOf<Refusal>());
  client.on('failed', ({ status, retryIn }) => {
    expectTypeOf(status).toEqualTypeOf<number | undefined>();
    expectTypeOf(retryIn).toEqualTypeOf<number | undefined>();
  });
  client.on('connected', () => {});
  createClient<W>({ url: new URL('https://example.org'), fetch, share: 'user 7' });
  // @ts-expect-error a token must be a string
  createClient<W>({ url: '/live', headers: { authorization: 7 } });
});

test('authorize narrows by watcher, and is required', () => {
  const handler = sse(watch, {
    authorize: (request, wanted) => {
      expectTypeOf(request).toEqualTypeOf<Request>();
      expectTypeOf(wanted.watcher).toEqualTypeOf<'users:inserted' | 'users:updated' | 'order_changed'>();
      expectTypeOf(wanted.kind).toEqualTypeOf<'all' | 'id' | 'columns'>();
      // @ts-expect-error the requested rows must be checked first
      if (wanted.id === 7) return true;
      if (wanted.watcher === 'order_changed') return wanted.kind === 'id' && wanted.id === 'a';
      return wanted.watcher === 'users:updated' && wanted.kind === 'columns' && wanted.columns.role_id === 7;
    },
  });
  expectTypeOf(handler).toEqualTypeOf<(request: Request) => Promise<Response>>();
  // @ts-expect-error authorize is missing
  sse(watch, {});
});

test('onlyOwn is an authorize for any watchers, alone or inside a function', () => {
  const roleOf = (request: Request) => (request.headers.has('cookie') ? 7 : undefined);
  sse(watch, { authorize: onlyOwn('role_id', roleOf) });
  sse(watch, {
    authorize: async (request, wanted) =>
      wanted.watcher === 'users:updated' && (await onlyOwn('id', roleOf(request))(request, wanted)),
    principal: roleOf,
  });
  // @ts-expect-error an object cannot be an id
  onlyOwn('id', { id: 7 });
});

test('inserted cannot be filtered by id, and truncated not at all', () => {
  const more = defineWatchers<DB>()([
    ['users', 'inserted', { extraColumns: ['name'] }],
    ['users', 'truncated'],
  ]);
  expectTypeOf<Subscription<typeof more>>().toEqualTypeOf<
    | { readonly watcher: 'users:inserted'; readonly kind: 'all' }
    | {
        readonly watcher: 'users:inserted';
        readonly kind: 'columns';
        readonly columns: { readonly name?: string | number | bigint };
      }
    | { readonly watcher: 'users:truncated'; readonly kind: 'all' }
  >();
});
