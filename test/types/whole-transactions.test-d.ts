import type { Client } from 'pg';
import { expectTypeOf, test } from 'vitest';
import {
  type ChangeOf,
  defineWatchers,
  type DeliveryContext,
  type SlotWatch,
  type Transaction,
} from '../../src/index.ts';

const watchers = defineWatchers<{ users: { id: number; email: string }; posts: { id: string } }>()([
  ['users', 'updated', { extraColumns: ['email'] }],
  ['posts', 'deleted'],
]);
type W = typeof watchers;
declare const watch: SlotWatch<W>;

test('a transaction has the changes of all watchers, narrowed by their names', () => {
  watch.onTransaction(async (transaction, context) => {
    expectTypeOf(transaction).toEqualTypeOf<Transaction<W>>();
    expectTypeOf(context.commitLsn).toBeString();
    for await (const change of transaction) {
      expectTypeOf(change).toEqualTypeOf<ChangeOf<W>>();
      if (change.watcher === 'posts:deleted') expectTypeOf(change.event.id).toBeString();
      else expectTypeOf(change.event).toEqualTypeOf<{ readonly id: number; readonly email: string }>();
    }
    expectTypeOf(await transaction.toArray()).toEqualTypeOf<readonly ChangeOf<W>[]>();
  });
});

test('onTransaction has the options of a delivery', () => {
  watch.onTransaction((_, { client }) => expectTypeOf(client).toEqualTypeOf<Client>(), {
    transaction: true,
    name: 'x',
  });
  watch.onTransaction(() => {}, {
    timeout: 1000,
    onError: (error: unknown, context: DeliveryContext) => (context.attempt > 3 ? 'skip' : 'retry'),
  });
  // @ts-expect-error no client without transaction
  watch.onTransaction((_, { client }) => client);
  // @ts-expect-error transactions are handled one after the other
  watch.onTransaction(() => {}, { concurrency: 2 });
  // @ts-expect-error a transaction is not an event
  watch.onTransaction(() => {}, { batch: { size: 2 } });
});
