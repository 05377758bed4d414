import { describe, expectTypeOf, test } from 'vitest';
import {
  type ContextOf,
  defineWatchers,
  type DeliveryContext,
  type EventHandler,
  type EventOf,
  type HandlerOf,
  type OnError,
  type Subscription,
  type Watch,
} from '../../src/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'inserted'],
  ['users', 'updated', { extraColumns: ['email', 'role_id'] }],
  ['users', 'deleted', { extraColumns: ['state'] }],
  ['users', 'truncated'],
  ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email'] }],
]);
type W = typeof watchers;
declare const watch: Watch<W>;

describe('subscribe infers event and context of an inline handler', () => {
  test('without a filter', () => {
    const subscription = watch.subscribe('users:updated', (event, context) => {
      expectTypeOf(event).toEqualTypeOf<EventOf<W, 'users:updated'>>();
      expectTypeOf(context).toEqualTypeOf<ContextOf<W, 'users:updated'>>();
    });
    expectTypeOf(subscription).toEqualTypeOf<Subscription>();
  });

  test('with an id', () => {
    watch.subscribe('users:updated', 7, (event, context) => {
      expectTypeOf(event).toEqualTypeOf<EventOf<W, 'users:updated'>>();
      expectTypeOf(context).toEqualTypeOf<ContextOf<W, 'users:updated'>>();
    });
  });

  test('with columns, options and an asynchronous handler', () => {
    const { signal } = new AbortController();
    watch.subscribe(
      'users:updated',
      { role_id: 7 },
      async (event, context) => {
        expectTypeOf(event).toEqualTypeOf<EventOf<W, 'users:updated'>>();
        expectTypeOf(context.watcher).toEqualTypeOf<'users:updated'>();
        await Promise.resolve();
      },
      { signal, concurrency: 8, name: 'mail', timeout: 1000, onError: 'retry' },
    );
  });

  test('for truncated, whose event is empty', () => {
    watch.subscribe('users:truncated', (event, { type }) => {
      expectTypeOf(event).toEqualTypeOf<{}>();
      expectTypeOf(type).toEqualTypeOf<'truncated'>();
    });
  });
});

test('one handler for several watchers gets a union', () => {
  const either = 'users:updated' as 'users:updated' | 'users:deleted';
  watch.subscribe(either, (event, context) => {
    expectTypeOf(event).toEqualTypeOf<EventOf<W, 'users:updated'> | EventOf<W, 'users:deleted'>>();
    expectTypeOf(context.watcher).toEqualTypeOf<'users:updated' | 'users:deleted'>();
    expectTypeOf(context.type).toEqualTypeOf<'updated' | 'deleted'>();
  });
});

test('HandlerOf is the type of a handler that is declared separately', () => {
  const handler: HandlerOf<W, 'users:updated'> = (event, context) => `${event.email} ${context.watcher}`;
  watch.subscribe('users:updated', handler);
  watch.subscribe('users:updated', { email: 'a@example.org' }, handler);
  expectTypeOf<HandlerOf<W, 'contact_changed'>>().toEqualTypeOf<
    EventHandler<'contact_changed', { readonly id: number }, 'updated'>
  >();
});

test('a handler may need less than it gets: any row with an id, any context', () => {
  const forget = (row: { readonly id: number }) => row.id;
  const log = (event: object, context: { readonly eventId: string }) => [context.eventId, ...Object.keys(event)];
  watch.subscribe('users:inserted', forget);
  watch.subscribe('users:updated', 7, forget);
  watch.subscribe('contact_changed', log);
  watch.subscribe('users:truncated', () => {});
});

test('a handler that needs more than the event has is refused', () => {
  const mail = (row: { readonly id: number; readonly email: string }) => row.email;
  watch.subscribe('users:updated', mail);
  // @ts-expect-error email is not in extraColumns
  watch.subscribe('users:inserted', mail);
  // @ts-expect-error email is not in extraColumns
  watch.subscribe('contact_changed', 7, mail);
});

test('a handler of another watcher is refused', () => {
  const handler: HandlerOf<W, 'users:inserted'> = (_, context) => context.type;
  // @ts-expect-error its context has another watcher and type
  watch.subscribe('users:updated', handler);
});

test("an onError function gets the error and the event's position", () => {
  watch.subscribe('users:updated', () => {}, {
    onError: (error, context) => {
      expectTypeOf(error).toBeUnknown();
      expectTypeOf(context).toEqualTypeOf<DeliveryContext>();
      return context.attempt < 3 ? 'retry' : 'skip';
    },
  });
  // @ts-expect-error 'ignore' is not an action
  watch.subscribe('users:updated', () => {}, { onError: () => 'ignore' });
});

test("onError is 'retry', a function, or an action after some attempts", () => {
  expectTypeOf<'retry'>().toExtend<OnError>();
  expectTypeOf<{ attempts: number; then: 'stop' | 'skip' }>().toExtend<OnError>();
  expectTypeOf<{ attempts: number; then: 'retry' }>().not.toExtend<OnError>();
  expectTypeOf<{ attempts: number }>().not.toExtend<OnError>();
  expectTypeOf<'stop'>().not.toExtend<OnError>();
});

test('unsubscribe takes the same arguments as subscribe, with any handler', () => {
  const handler: HandlerOf<W, 'users:updated'> = (event) => event.email;
  expectTypeOf(watch.unsubscribe('users:updated', handler)).toBeBoolean();
  expectTypeOf(watch.unsubscribe('users:updated', 7, handler)).toBeBoolean();
  expectTypeOf(watch.unsubscribe('users:updated', { role_id: 7, email: '' }, handler)).toBeBoolean();
});

test('a subscription can be ended, also by the end of a block', () => {
  using subscription = watch.subscribe('users:inserted', () => {});
  expectTypeOf(subscription).toExtend<Disposable>();
  expectTypeOf<Subscription['unsubscribe']>().toEqualTypeOf<() => void>();
  expectTypeOf(subscription.name).toBeString();
});
