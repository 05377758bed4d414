import { describe, expectTypeOf, test } from 'vitest';
import {
  type ContextOf,
  defineWatchers,
  type EventOf,
  type FilterOf,
  type HandlerOf,
  type SlotWatch,
  type Watch,
} from '../../src/index.ts';
import type { DB } from './database.ts';

const watchers = defineWatchers<DB>()([
  ['users', 'inserted', { extraColumns: ['role_id'] }],
  ['users', 'updated', { extraColumns: ['role_id'] }],
  ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email'] }],
  ['users', 'deleted'],
  ['users', 'truncated'],
]);
type W = typeof watchers;
declare const watch: Watch<W>;
declare const slotWatch: SlotWatch<W>;
const handler = () => {};

describe('subscribe, unsubscribe and events refuse', () => {
  test('an unknown watcher', () => {
    // @ts-expect-error not watched
    watch.subscribe('billing.invoices:updated', handler);
    // @ts-expect-error misspelt
    watch.subscribe('users:update', handler);
    // @ts-expect-error a table alone
    watch.unsubscribe('users', handler);
    // @ts-expect-error not watched
    watch.events('users:upserted');
    // @ts-expect-error not watched
    watch.details('roles:updated');
  });

  test('a watcher whose name is any string', () => {
    // @ts-expect-error any string
    watch.subscribe('users:updated' as string, handler);
  });

  test('a filter column that is neither primary key nor in extraColumns', () => {
    // @ts-expect-error a column of the table, but the event does not carry it
    watch.subscribe('users:updated', { email: 'a@example.org' }, handler);
    // @ts-expect-error one unknown column and a known one
    watch.subscribe('users:updated', { role_id: 7, email: 'a@example.org' }, handler);
    // @ts-expect-error an extra column of another watcher only
    watch.unsubscribe('users:deleted', { role_id: 7 }, handler);
    // @ts-expect-error the same
    watch.events('users:deleted', { role_id: 7 });
  });

  test('a filter by a trigger column that is not in extraColumns', () => {
    // @ts-expect-error a trigger column that the event does not carry
    watch.subscribe('contact_changed', { email: 'a@example.org' }, handler);
  });

  test('a filter column that the table does not have', () => {
    // @ts-expect-error roleId
    watch.subscribe('users:updated', { roleId: 7 }, handler);
  });

  test('an id on inserted', () => {
    // @ts-expect-error the id is unknown before the insert
    watch.subscribe('users:inserted', 7, handler);
    // @ts-expect-error nor as a column
    watch.subscribe('users:inserted', { id: 7 }, handler);
    // @ts-expect-error not in unsubscribe either
    watch.unsubscribe('users:inserted', 7, handler);
    // @ts-expect-error not in events either
    watch.events('users:inserted', 7);
  });

  test('a filter on truncated', () => {
    // @ts-expect-error an id
    watch.subscribe('users:truncated', 7, handler);
    // @ts-expect-error a column
    watch.subscribe('users:truncated', { id: 7 }, handler);
    // @ts-expect-error no column
    watch.subscribe('users:truncated', {}, handler);
    // @ts-expect-error not in events either
    watch.events('users:truncated', { id: 7 });
  });

  test('a filter without a value', () => {
    // @ts-expect-error an id is never null
    watch.subscribe('users:updated', null, handler);
    // @ts-expect-error nor undefined: the value may not be loaded yet
    watch.subscribe('users:updated', undefined, handler);
    // @ts-expect-error either one id, or columns
    watch.subscribe('users:updated', [7, 8], handler);
  });

  test('a call without a handler', () => {
    // @ts-expect-error for all rows
    watch.subscribe('users:updated');
    // @ts-expect-error for one
    watch.subscribe('users:updated', 7);
  });

  test('an option that does not exist, is misspelt, or comes before the handler', () => {
    // @ts-expect-error concurrency
    watch.subscribe('users:updated', handler, { concurency: 8 });
    // @ts-expect-error timeout, after a filter
    watch.subscribe('users:updated', { role_id: 7 }, handler, { timeOut: 1000 });
    // @ts-expect-error options come last
    watch.subscribe('users:updated', { concurrency: 8 }, handler);
    // @ts-expect-error 'retry', attempts or a function
    watch.subscribe('users:updated', handler, { onError: 'stop' });
  });

  test('a misspelt option next to a correct one', () => {
    // @ts-expect-error concurrency
    watch.subscribe('users:updated', handler, { name: 'x', concurency: 8 });
    // @ts-expect-error concurrency, after a filter
    watch.subscribe('users:updated', { role_id: 7 }, handler, { name: 'x', concurency: 8 });
    // @ts-expect-error latest, in batch
    watch.subscribe('users:updated', handler, { name: 'x', batch: { size: 8, latests: true } });
    // @ts-expect-error attempts, in onError
    watch.subscribe('users:updated', handler, { name: 'x', onError: { attempts: 8, attemps: 8, then: 'stop' } });
    // @ts-expect-error timeout
    slotWatch.onMessage('outbox', handler, { name: 'x', timeOut: 1000 });
    // @ts-expect-error timeout
    slotWatch.onTransaction(handler, { name: 'x', timeOut: 1000 });
    const options = { name: 'x', concurency: 8 };
    // @ts-expect-error also if they are declared separately
    watch.subscribe('users:updated', handler, options);
    watch.subscribe('users:updated', handler, { name: 'x', onError: () => 'retry', batch: { size: 8, latest: true } });
  });

  test('an unknown watcher in EventOf, FilterOf, ContextOf and HandlerOf', () => {
    // @ts-expect-error not watched
    expectTypeOf<EventOf<W, 'roles:updated'>>();
    // @ts-expect-error not watched
    expectTypeOf<FilterOf<W, 'roles:updated'>>();
    // @ts-expect-error not watched
    expectTypeOf<ContextOf<W, 'roles:updated'>>();
    // @ts-expect-error not watched
    expectTypeOf<HandlerOf<W, 'roles:updated'>>();
  });
});
