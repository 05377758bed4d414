import { expectTypeOf, test } from 'vitest';
import {
  type Change,
  type ChangeOf,
  type ContextOf,
  defineWatchers,
  type EventOf,
  type Watch,
} from '../../src/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'inserted', { extraColumns: ['email'] }],
  ['users', 'deleted'],
  ['billing.invoices', 'updated', { label: 'invoice_changed', extraColumns: ['total'] }],
]);
type W = typeof watchers;
declare const watch: Watch<W>;

test('a change has watcher, event and context of one watcher', () => {
  expectTypeOf<ChangeOf<W, 'users:inserted'>>().toEqualTypeOf<
    Change<'users:inserted', EventOf<W, 'users:inserted'>, ContextOf<W, 'users:inserted'>>
  >();
});

test('ChangeOf without a name is the union over all watchers', () => {
  expectTypeOf<ChangeOf<W>>().toEqualTypeOf<
    ChangeOf<W, 'users:inserted'> | ChangeOf<W, 'users:deleted'> | ChangeOf<W, 'invoice_changed'>
  >();
});

test('checking watcher narrows a union of changes, including event and context', () => {
  const seen = (change: ChangeOf<W>) => {
    switch (change.watcher) {
      case 'users:inserted':
        expectTypeOf(change.event).toEqualTypeOf<{ readonly id: number; readonly email: string }>();
        expectTypeOf(change.context.type).toEqualTypeOf<'inserted'>();
        return 1;
      case 'users:deleted':
        expectTypeOf(change.event).toEqualTypeOf<{ readonly id: number }>();
        return 2;
      case 'invoice_changed':
        expectTypeOf(change.event.total).toEqualTypeOf<string>();
        expectTypeOf(change.context.previous.total).toEqualTypeOf<string | undefined>();
        return 3;
      default:
        return change satisfies never;
    }
  };
  expectTypeOf(seen).returns.toEqualTypeOf<1 | 2 | 3>();
});

test('checking a destructured watcher narrows the event, too', () => {
  const seen = ({ watcher, event }: ChangeOf<W>) => {
    if (watcher === 'invoice_changed') expectTypeOf(event.total).toBeString();
    // @ts-expect-error another watcher's event may not have it
    return event.total;
  };
  expectTypeOf(seen).parameter(0).toEqualTypeOf<ChangeOf<W>>();
});

test('events iterates over the changes of one watcher', async () => {
  const { signal } = new AbortController();
  for await (const { watcher, event, context } of watch.events('users:inserted', { signal })) {
    expectTypeOf(watcher).toEqualTypeOf<'users:inserted'>();
    expectTypeOf(event).toEqualTypeOf<EventOf<W, 'users:inserted'>>();
    expectTypeOf(context).toEqualTypeOf<ContextOf<W, 'users:inserted'>>();
  }
  expectTypeOf(watch.events('users:deleted')).toEqualTypeOf<AsyncIterableIterator<ChangeOf<W, 'users:deleted'>>>();
});

test('events accepts the filters that subscribe accepts, with and without a signal', () => {
  const { signal } = new AbortController();
  type Deleted = AsyncIterableIterator<ChangeOf<W, 'users:deleted'>>;
  expectTypeOf(watch.events('users:deleted', 7)).toEqualTypeOf<Deleted>();
  expectTypeOf(watch.events('users:deleted', { id: 7 }, { signal })).toEqualTypeOf<Deleted>();
  watch.events('users:inserted', { email: 'a@example.org' }, { signal });
  // @ts-expect-error not an extra column
  watch.events('users:inserted', { role_id: 7 });
  // @ts-expect-error 'inserted' cannot be filtered by id
  watch.events('users:inserted', 7, { signal });
});

test('checking watcher narrows the events of a union of watchers', async () => {
  const either = 'users:inserted' as 'users:inserted' | 'invoice_changed';
  for await (const change of watch.events(either)) {
    if (change.watcher === 'users:inserted') expectTypeOf(change.event.email).toBeString();
    else expectTypeOf(change).toEqualTypeOf<ChangeOf<W, 'invoice_changed'>>();
  }
});
