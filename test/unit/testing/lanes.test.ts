/** Concurrency, batches, iterators and deliveries of a handler: the lanes are the real ones. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../../src/index.ts';
import { createTestWatch } from '../../../src/testing/index.ts';
import { recorder } from '../../support/recorder.ts';
import { type Deferred, deferred } from '../../support/until.ts';

interface DB {
  users: { id: number; name: string };
}
const watchers = defineWatchers<DB>()([['users', ['inserted', 'updated', 'deleted'], { extraColumns: ['name'] }]]);
const user = (id: number, name = 'x') => ({ id, name });
const inserted = (id: number) => ({ watcher: 'users:inserted', event: user(id) }) as const;

test('concurrency: changes of one record do not overlap, others do', async () => {
  const watch = createTestWatch(watchers);
  const calls: Deferred<void>[] = [];
  const running: number[] = [];
  watch.subscribe(
    ['users:inserted', 'users:updated'],
    ({ event }) => {
      const call = deferred();
      calls.push(call);
      running.push(event.id);
      return call.promise;
    },
    { concurrency: 2 },
  );
  const all = watch.deliver([inserted(1), { watcher: 'users:updated', event: user(1, 'y') }, inserted(2)]);
  expect(running).toEqual([1, 2]);
  for (let done = 0; done < 3; done++) {
    calls[done]!.resolve();
    await Promise.resolve();
  }
  await Promise.all(calls.map(({ promise }) => promise));
  await Promise.resolve();
  calls.at(-1)!.resolve();
  await all;
  expect(running).toEqual([1, 2, 1]);
});

test('a batch is delivered at once, whatever it waits for', async () => {
  const watch = createTestWatch(watchers);
  const batches = recorder();
  watch.subscribe(['users:inserted', 'users:deleted'], batches, { batch: { size: 100, wait: 60_000, latest: true } });
  await watch.deliver([inserted(1), inserted(2), { watcher: 'users:deleted', event: user(1) }]);
  expect(batches.all).toHaveLength(1);
  expect(batches.all[0].map((change: any) => [change.type, change.event.id])).toEqual([['inserted', 2], ['deleted', 1]]); // prettier-ignore
});

test('deliveries that are not awaited share a batch; a full batch does not wait for more', async () => {
  const watch = createTestWatch(watchers);
  const sizes: number[] = [];
  watch.subscribe('users:inserted', (events) => sizes.push(events.length), { batch: { size: 3 } });
  await Promise.all([1, 2].map((id) => watch.deliver('users:inserted', user(id))));
  await watch.deliver([1, 2, 3, 4].map(inserted));
  expect(sizes).toEqual([2, 3, 1]);
});

test('a batch is collected while the handler of the one before runs', async () => {
  const watch = createTestWatch(watchers);
  const sizes: number[] = [];
  const first = deferred();
  watch.subscribe('users:inserted', (events) => (sizes.push(events.length) === 1 ? first.promise : undefined), {
    batch: { size: 10 },
  });
  const one = watch.deliver('users:inserted', user(1));
  await Promise.resolve();
  const others = [2, 3].map((id) => watch.deliver('users:inserted', user(id)));
  first.resolve();
  await Promise.all([one, ...others]);
  expect(sizes).toEqual([1, 2]);
});

test('a delivery does not wait for other deliveries', async () => {
  const watch = createTestWatch(watchers);
  const slow = deferred();
  watch.subscribe('users:inserted', () => slow.promise);
  watch.subscribe('users:deleted', () => {});
  let done = false;
  const first = watch.deliver('users:inserted', user(1)).then(() => (done = true));
  await watch.deliver('users:deleted', user(1));
  expect(done).toBe(false);
  expect(watch.status()).toMatchObject({ running: 1, heldBy: { subscription: 'users:inserted' } });
  slow.resolve();
  await first;
});

test('an event of an iterator is handled when the loop asks for the next one or ends', async () => {
  const watch = createTestWatch(watchers);
  const changes = watch.events('users:inserted');
  let done = false;
  const delivered = watch.deliver('users:inserted', user(1)).then(() => (done = true));
  await expect(changes.next()).resolves.toMatchObject({ value: { event: user(1) } });
  expect(done).toBe(false);
  await changes.return!();
  await delivered;
});

test('a handler that ends its subscription gets nothing more, and one that delivers does not disturb the transaction', async () => {
  const watch = createTestWatch(watchers);
  const order: unknown[] = [];
  const subscription = watch.subscribe('users:inserted', ({ id }) => {
    order.push(id);
    void watch.deliver('users:deleted', user(id));
    subscription.unsubscribe();
  });
  watch.subscribe('users:deleted', ({ id }) => order.push(`deleted ${id}`));
  watch.onTransaction(async (transaction) => order.push((await transaction.toArray()).map(({ type }) => type)));
  await watch.deliver([inserted(1), inserted(2)]);
  await watch.caughtUp();
  expect(order).toEqual([1, 'deleted 1', ['inserted', 'inserted'], ['deleted']]);
});
