/** `onTransaction`. */
import { beforeEach, expect, test } from 'vitest';
import { defineWatchers, type SlotWatch, type Transaction, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { deferred, until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ orders: { id: number; v: string }; lines: { id: number } }>()([
  ['orders', 'inserted'],
  ['orders', 'updated', { extraColumns: ['v'] }],
  ['lines', 'inserted'],
]);
type Orders = Transaction<typeof watchers>;

beforeEach(async () => {
  await db.sql('drop table if exists orders, lines');
  await db.sql('create table orders (id int primary key, v text)');
  await db.sql('create table lines (id int primary key)');
});

const insert = (first: number, last: number) =>
  db.sql(`insert into orders select i, repeat('x', 100) from generate_series($1::int, $2::int) i`, [first, last]);
const numbers = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
/** Small enough that a transaction of a thousand rows is streamed. */
const small = { highWaterMark: 50_000 };

test.each(['committed', 'immediate'] as const)(
  'the changes of one transaction arrive together and in order, even of watchers without a subscription; visibility: %s',
  async (visibility) => {
    const watch = watchOf(watchers, { visibility });
    const seen: unknown[] = [];
    const ids: string[] = [];
    watch.onTransaction(async (transaction, { eventId, commitLsn, xid }) => {
      const changes = await transaction.toArray();
      seen.push(changes.map(({ watcher, event, context }) => [watcher, event.id, context.ordinal]));
      ids.push(eventId);
      expect(eventId).toBe(commitLsn);
      for (const { context } of changes) expect([context.commitLsn, context.xid]).toEqual([commitLsn, xid]);
    });
    const looped: unknown[] = [];
    watch.onTransaction(async (transaction) => {
      for await (const change of transaction) {
        if (change.watcher === 'orders:updated') looped.push(change.event.v);
      }
    });
    await watch.start();
    const client = await db.client();
    await client.query('begin');
    await client.query(`insert into orders values (1, 'a')`);
    await client.query(`insert into lines values (10), (11)`);
    await client.query(`update orders set v = 'b'`);
    await db.sql(`insert into lines values (20)`); // commits first
    await client.query('commit');
    await db.sql(`delete from lines`); // an unwatched table
    await settled(db, watch);
    expect(seen).toEqual([
      [['lines:inserted', 20, 0]],
      [['orders:inserted', 1, 0], ['lines:inserted', 10, 1], ['lines:inserted', 11, 2], ['orders:updated', 1, 3]],
    ]); // prettier-ignore
    expect(new Set(ids).size).toBe(2);
    expect(looped).toEqual(['b']);
  },
);

test('a transaction larger than the memory is streamed to several slow handlers and to ordinary ones, within limits', async () => {
  const watch = watchOf(watchers, small);
  const reads: number[][] = [];
  let most = 0;
  const slowly = (every: number) => async (transaction: Orders) => {
    const ids: number[] = [];
    for await (const { event } of transaction) {
      ids.push(event.id);
      most = Math.max(most, watch.status().undeliveredBytes);
      if (ids.length % every === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    reads.push(ids);
  };
  watch.onTransaction(slowly(50), { name: 'slow' });
  watch.onTransaction(slowly(90), { name: 'less slow' });
  watch.onTransaction(async (transaction) => {
    for await (const _ of transaction) break;
  }, { name: 'leaves' }); // prettier-ignore
  const single: number[] = [];
  watch.subscribe('orders:inserted', ({ id }) => void single.push(id));
  const batched: number[] = [];
  watch.subscribe('orders:inserted', (events) => void batched.push(...events.map(({ id }) => id)), {
    batch: { size: 300, wait: 5 },
  });
  await watch.start();
  await insert(1, 5000);
  await insert(5001, 5010);
  await settled(db, watch);
  const first = numbers(1, 5000);
  expect(reads.filter(({ length }) => length === 5000)).toEqual([first, first]);
  expect(reads).toHaveLength(4);
  expect([single, batched]).toEqual([numbers(1, 5010), numbers(1, 5010)]);
  // Data from the same read is always taken.
  expect(most).toBeLessThan(small.highWaterMark + 65_536 * 8);
  expect(watch.status().undeliveredBytes).toBe(0);
});

/** Ends in the middle of a transaction that is still arriving: its handler has read `count` and takes no more. */
function inTheMiddle(watch: SlotWatch<typeof watchers>, count: number) {
  const reached = deferred();
  const goOn = deferred();
  const reads: number[][] = [];
  watch.onTransaction(async (transaction) => {
    const ids: number[] = [];
    for await (const { event } of transaction) {
      ids.push(event.id);
      if (ids.length !== count) continue;
      reached.resolve();
      await goOn.promise;
    }
    reads.push(ids);
  });
  return { reached, goOn, reads };
}

test('a failure in the middle of a streamed transaction ends the watch; it is delivered again, whole', async () => {
  const slot = slotName();
  const first = watchOf(watchers, { slot, ...small });
  first.onTransaction(async (transaction) => {
    for await (const { event } of transaction) if (event.id === 1500) throw new Error('broken');
  });
  await first.start();
  await insert(1, 3000);
  await expect(first.closed).rejects.toMatchObject({ code: 'HANDLER_FAILED', cause: { message: 'broken' } });
  const second = watchOf(watchers, { slot });
  const { reads, goOn } = inTheMiddle(second, 1);
  goOn.resolve();
  await second.start();
  await settled(db, second);
  expect(reads).toEqual([numbers(1, 3000)]);
});

test('a connection that is lost in the middle of a transaction continues there', async () => {
  const watch = watchOf(watchers, small);
  const disconnects = recorder();
  watch.on('disconnected', disconnects);
  const { reached, goOn, reads } = inTheMiddle(watch, 500);
  await watch.start();
  await insert(1, 20_000);
  await reached.promise;
  await db.sql('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1', [
    watch.status().slot,
  ]);
  goOn.resolve();
  await settled(db, watch);
  expect(disconnects.all.length).toBeGreaterThan(0);
  expect(reads).toEqual([numbers(1, 20_000)]);
});

test('stopping in the middle of a transaction does not wait for its end; it is delivered again, whole', async () => {
  const slot = slotName();
  const first = watchOf(watchers, { slot, stopTimeout: 3_600_000, ...small });
  const { reached, goOn, reads } = inTheMiddle(first, 500);
  await first.start();
  await insert(1, 20_000);
  await reached.promise;
  const stopped = first.stop();
  goOn.resolve();
  await stopped;
  expect(reads).toEqual([]);
  const second = watchOf(watchers, { slot });
  const again = inTheMiddle(second, 1);
  again.goOn.resolve();
  await second.start();
  await settled(db, second);
  expect(again.reads).toEqual([numbers(1, 20_000)]);
});

test('a subscription that is made in the middle of a transaction begins with the next one', async () => {
  const watch = watchOf(watchers, small);
  const { reached, goOn } = inTheMiddle(watch, 500);
  await watch.start();
  await insert(1, 20_000);
  await reached.promise;
  const later = inTheMiddle(watch, 1);
  later.goOn.resolve();
  goOn.resolve();
  await insert(20_001, 20_002);
  await settled(db, watch);
  expect(later.reads).toEqual([[20_001, 20_002]]);
});

test('a retry gets everything again, and the transaction is acknowledged only then', async () => {
  const watch = watchOf(watchers);
  const failures: unknown[] = [];
  watch.on('handlerFailed', ({ eventId, action }) => failures.push([eventId, action]));
  const attempts: [string, number][] = [];
  watch.onTransaction(async (transaction, { attempt, commitLsn }) => {
    attempts.push([commitLsn, (await transaction.toArray()).length]);
    if (attempt < 3) throw new Error('broken');
  });
  await watch.start();
  await insert(1, 10);
  await settled(db, watch);
  const [[lsn]] = attempts as [[string, number]];
  expect(attempts).toEqual([[lsn, 10], [lsn, 10], [lsn, 10]]); // prettier-ignore
  expect(failures).toEqual([[lsn, 'retry'], [lsn, 'retry']]); // prettier-ignore
});

test('with transaction: true it is applied as a whole, once', async () => {
  await db.sql('create table copies (id int primary key)');
  const watch = watchOf(watchers, small);
  watch.onTransaction(async (transaction, { client, attempt }) => {
    for await (const { event } of transaction) {
      await client.query('insert into copies values ($1)', [event.id]);
      if (attempt === 1 && event.id === 20) throw new Error('in the middle');
    }
  }, { transaction: true, name: 'copying' }); // prettier-ignore
  await watch.start();
  await insert(1, 1000);
  await settled(db, watch);
  const [row] = await db.sql('select count(*)::int, max(id) from copies');
  expect(row).toEqual({ count: 1000, max: 1000 });
  const positions = await db.sql('select subscription from walwatch.positions where slot = $1', [watch.status().slot]);
  expect(positions).toEqual([{ subscription: 'copying' }]);
});

test('the watch’s default of dead letters is refused for transactions, and after stop() subscribing is refused', async () => {
  const watch = watchOf(watchers, { onError: { attempts: 1, then: 'deadLetter' } });
  expect(() => watch.onTransaction(() => {})).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  const subscription = watch.onTransaction(() => {}, { onError: 'retry', name: 'mine' });
  expect([subscription.name, watch.status().subscriptions]).toEqual(['mine', 1]);
  subscription.unsubscribe();
  expect(watch.status().subscriptions).toBe(0);
  await watch.stop();
  expect(() => watch.onTransaction(() => {}, { onError: 'retry' })).toThrow(
    expect.objectContaining({ code: 'STOPPED' } satisfies Partial<WatchError>),
  );
  await until(() => watch.status().state === 'stopped', { describe: 'the end' });
});
