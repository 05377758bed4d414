import type { Client } from 'pg';
import { expectTypeOf, test } from 'vitest';
import {
  type BatchContext,
  type BatchHandler,
  type ContextOf,
  defineWatchers,
  type EventHandler,
  type EventOf,
  type HandlerOf,
  type Watch,
} from '../../src/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'updated', { extraColumns: ['role_id'] }],
  ['users', 'truncated'],
]);
type W = typeof watchers;
type Event = EventOf<W, 'users:updated'>;
declare const watch: Watch<W>;

test('with batch, a handler gets events and their contexts', () => {
  watch.subscribe('users:updated', (events, context) => {
    expectTypeOf(events).toEqualTypeOf<readonly Event[]>();
    expectTypeOf(context.contexts).toEqualTypeOf<readonly ContextOf<W, 'users:updated'>[]>();
    expectTypeOf(context.watcher).toEqualTypeOf<'users:updated'>();
    expectTypeOf(context.contexts[0]!.type).toEqualTypeOf<'updated'>();
    expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
    // @ts-expect-error each event has its own
    return context.eventId;
  }, { batch: { size: 500, wait: 50, latest: true }, concurrency: 4 }); // prettier-ignore
});

test('batch works with a filter, too', () => {
  watch.subscribe('users:updated', { role_id: 7 }, (events) => {
    expectTypeOf(events).toEqualTypeOf<readonly Event[]>();
  }, { batch: { size: 500 } }); // prettier-ignore
  watch.subscribe('users:truncated', (events) => expectTypeOf(events).toEqualTypeOf<readonly {}[]>(), {
    batch: { size: 2 },
  });
});

test('with transaction: true, the context of a batch has a client', () => {
  watch.subscribe('users:updated', (_, { client, contexts }) => {
    expectTypeOf(client).toEqualTypeOf<Client>();
    expectTypeOf(contexts).toEqualTypeOf<readonly ContextOf<W, 'users:updated'>[]>();
  }, { batch: { size: 500 }, transaction: true, name: 'batches' }); // prettier-ignore
});

test('HandlerOf follows the options', () => {
  type Batched = HandlerOf<W, 'users:updated', { readonly batch: { readonly size: 2 } }>;
  expectTypeOf<Batched>().toEqualTypeOf<BatchHandler<'users:updated', Event, 'updated'>>();
  expectTypeOf<HandlerOf<W, 'users:updated', { readonly concurrency: 2 }>>().toEqualTypeOf<
    EventHandler<'users:updated', Event, 'updated'>
  >();
  expectTypeOf<Parameters<Batched>[1]>().toEqualTypeOf<BatchContext<'users:updated', Event, 'updated'> & {}>();
});

test('handlers and options that do not fit together are refused', () => {
  const one = (event: Event) => event.id;
  const many = (events: readonly Event[]) => events.length;
  watch.subscribe('users:updated', many, { batch: { size: 2 } });
  // @ts-expect-error a handler of single events
  watch.subscribe('users:updated', one, { batch: { size: 2 } });
  // @ts-expect-error a handler of batches without batch
  watch.subscribe('users:updated', many);
  // @ts-expect-error without a size
  watch.subscribe('users:updated', many, { batch: { wait: 50 } });
  // @ts-expect-error an iterator has no batches
  watch.events('users:updated', { signal: new AbortController().signal, batch: { size: 2 } });
});
