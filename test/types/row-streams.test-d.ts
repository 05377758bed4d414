/** Lists of watchers: the types of their handlers, and the lists that are refused. */
import { describe, expectTypeOf, test } from 'vitest';
import { defineWatchers, type Change, type SlotWatch, type Watch } from '../../src/index.ts';

interface DB {
  orders: { id: number; status: string; total: string };
  users: { id: number; email: string };
}
const watchers = defineWatchers<DB>()([
  ['orders', ['inserted', 'updated'], { extraColumns: ['status', 'total'] }],
  ['orders', 'deleted'],
  ['orders', 'updated', { label: 'paid', triggerColumns: ['status'], extraColumns: ['status'] }],
  ['users', 'inserted'],
]);
declare const watch: SlotWatch<typeof watchers>;

describe('a list of types', () => {
  test('makes one watcher per type', () => {
    watch.subscribe('orders:inserted', (event) => expectTypeOf(event.total).toEqualTypeOf<string>());
    watch.subscribe('orders:updated', (event) => expectTypeOf(event.status).toEqualTypeOf<string>());
  });

  test('is refused with options for a single watcher', () => {
    defineWatchers<DB>()([
      // @ts-expect-error a list of types makes several watchers
      ['orders', ['inserted', 'updated'], { label: 'x' }],
    ]);
    defineWatchers<DB>()([
      // @ts-expect-error a list of types makes several watchers
      ['orders', ['inserted', 'updated'], { triggerColumns: ['status'] }],
    ]);
    defineWatchers<DB>()([
      // @ts-expect-error 'truncated' has no row
      ['orders', ['inserted', 'truncated'], { extraColumns: ['status'] }],
    ]);
    defineWatchers<DB>()([
      // @ts-expect-error Did you mean '"updated"'?
      ['orders', ['inserted', 'update']],
    ]);
    defineWatchers<DB>()([
      // @ts-expect-error two watchers have the name 'orders:updated'
      ['orders', ['inserted', 'updated']],
      // @ts-expect-error two watchers have the name 'orders:updated'
      ['orders', 'updated'],
    ]);
  });
});

describe('a row stream', () => {
  test('delivers changes, narrowed by type or by watcher', () => {
    watch.subscribe(['orders:inserted', 'orders:updated', 'orders:deleted'], (change, context) => {
      expectTypeOf(change.watcher).toEqualTypeOf<'orders:inserted' | 'orders:updated' | 'orders:deleted'>();
      expectTypeOf(context.eventId).toEqualTypeOf<string>();
      if (change.type === 'deleted') {
        expectTypeOf(change.event).toEqualTypeOf<{ readonly id: number }>();
        // @ts-expect-error a deleted row has no such column
        void change.event.total;
      } else expectTypeOf(change.event.total).toEqualTypeOf<string>();
      if (change.watcher === 'orders:updated') expectTypeOf(change.context.type).toEqualTypeOf<'updated'>();
    });
  });

  test('delivers arrays of changes in batches', () => {
    watch.subscribe(
      ['orders:inserted', 'orders:deleted'],
      (changes, context) => {
        for (const [index, change] of changes.entries()) {
          expectTypeOf(change.type).toEqualTypeOf<'inserted' | 'deleted'>();
          expectTypeOf(context.contexts[index]!.eventId).toEqualTypeOf<string>();
        }
        // @ts-expect-error changes of a batch have several watchers
        void context.watcher;
      },
      { batch: { size: 10, latest: true } },
    );
  });

  test('has a client with transaction: true', () => {
    watch.subscribe(
      ['orders:inserted', 'orders:deleted'],
      async (_, { client }) => void (await client.query('select 1')),
      { transaction: true, name: 'orders' },
    );
  });

  test('accepts filters by columns that all its watchers have', () => {
    watch.subscribe(['orders:inserted', 'paid'], { status: 'new' }, () => {});
    watch.subscribe(['orders:updated', 'orders:deleted'], 7, () => {});
    // @ts-expect-error 'inserted' cannot be filtered by id
    watch.subscribe(['orders:inserted', 'orders:deleted'], 7, () => {});
    // @ts-expect-error 'total' is not carried by 'paid'
    watch.subscribe(['orders:updated', 'paid'], { total: '1' }, () => {});
    // @ts-expect-error no filter suits all of these watchers
    watch.subscribe(['orders:inserted', 'users:inserted'], { status: 'new' }, () => {});
  });

  test('is refused if it is empty, or has a wrong name or a misspelt option', () => {
    // @ts-expect-error the list is empty
    watch.subscribe([], () => {});
    // @ts-expect-error Did you mean '"orders:updated"'?
    watch.subscribe(['orders:inserted', 'orders:update'], () => {});
    // @ts-expect-error 'there is no option': "concurency"
    watch.subscribe(['orders:inserted', 'orders:deleted'], () => {}, { name: 'x', concurency: 2 });
  });

  test('is also the argument of iterators and of unsubscribe', async () => {
    for await (const change of watch.events(['orders:inserted', 'orders:deleted'])) {
      if (change.type === 'inserted') expectTypeOf(change.event.total).toEqualTypeOf<string>();
    }
    expectTypeOf(watch.unsubscribe(['orders:inserted', 'orders:deleted'], () => {})).toEqualTypeOf<boolean>();
  });

  test('works on every kind of watch', () => {
    const any: Watch<typeof watchers> = watch;
    const handler = (change: Change) => void change.event;
    any.subscribe(['orders:inserted', 'orders:deleted'], handler);
  });
});
