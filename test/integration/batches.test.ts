/** Subscriptions with `batch`. */
import { beforeAll, expect, test } from 'vitest';
import { type BatchContext, type DeadLetter, defineWatchers, type EventContext } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { deferred, until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ orders: { id: number; v: number } }>()([
  ['orders', 'inserted'],
  ['orders', 'updated', { extraColumns: ['v'] }],
]);

beforeAll(() => db.sql('create table orders (id int primary key, v int not null)'));

let last = 0;
/** Inserts rows with new ids, each in its own transaction. Returns the ids. */
async function write(count: number): Promise<number[]> {
  const first = last + 1;
  last += count;
  await db.sql(
    `do $$ begin for i in ${first}..${last} loop insert into orders values (i, 0); commit; end loop; end $$`,
  );
  return Array.from({ length: count }, (_, index) => first + index);
}

test.each(['committed', 'immediate'] as const)(
  'every event is delivered once, in order, with its context, across transactions; visibility: %s',
  async (visibility) => {
    const watch = watchOf(watchers, { visibility });
    const batches: number[][] = [];
    const contexts: EventContext[] = [];
    watch.subscribe('orders:inserted', async (events, context) => {
      batches.push(events.map(({ id }) => id));
      contexts.push(...context.contexts);
      await new Promise((resolve) => setImmediate(resolve));
    }, { batch: { size: 7 } }); // prettier-ignore
    const single: number[] = [];
    watch.subscribe('orders:inserted', ({ id }, { eventId }) => void single.push(id, Number(eventId !== '')));
    await watch.start();
    const ids = await write(500);
    await settled(db, watch);
    expect(batches.flat()).toEqual(ids);
    expect(batches.map(({ length }) => length)).not.toContain(0);
    expect(Math.max(...batches.map(({ length }) => length))).toBe(7); // batches grow while the handler is busy
    expect(new Set(contexts.map(({ eventId }) => eventId)).size).toBe(500);
    expect(single.filter((_, index) => index % 2 === 0)).toEqual(ids);
  },
);

test('`latest` delivers the newest event of each row', async () => {
  const watch = watchOf(watchers);
  const seen: (readonly { readonly id: number; readonly v: number }[])[] = [];
  watch.subscribe('orders:updated', (events) => void seen.push(events), {
    batch: { size: 1000, wait: 200, latest: true },
  });
  await watch.start();
  const [a, b] = await write(2);
  await db.sql(
    `do $$ begin for i in 1..100 loop update orders set v = i where id in (${a}, ${b}); end loop; update orders set v = 0 where id = ${a}; end $$`,
  );
  await settled(db, watch);
  expect(seen).toEqual([[{ id: b, v: 100 }, { id: a, v: 0 }]]); // prettier-ignore
});

test('a batch that is being collected when the watch stops is not acknowledged, and delivered again by the next', async () => {
  const slot = slotName();
  const first = watchOf(watchers, { slot });
  first.subscribe('orders:inserted', () => expect.unreachable(), { batch: { size: 1000, wait: 3_600_000 } });
  await first.start();
  const ids = await write(3);
  await until(() => first.status().heldBy, { describe: 'the first of them' });
  expect(first.status()).toMatchObject({ running: 0, heldBy: { attempt: 1, error: undefined } });
  await first.stop();
  const second = watchOf(watchers, { slot });
  const seen: number[] = [];
  second.subscribe('orders:inserted', (events) => void seen.push(...events.map(({ id }) => id)), {
    batch: { size: 1000 },
  });
  await second.start();
  await settled(db, second);
  expect(seen).toEqual(ids);
});

test('a batch that is larger than the memory does not wait for changes that cannot be read', async () => {
  const watch = watchOf(watchers, { highWaterMark: 20_000 });
  const seen: number[] = [];
  const done = deferred();
  let expected = Infinity;
  watch.subscribe('orders:inserted', (events) => {
    seen.push(...events.map(({ id }) => id));
    if (seen.length > expected - 100) done.resolve(); // the last ones may wait for their full `wait`
  }, { batch: { size: 1_000_000, wait: 3_600_000 } }); // prettier-ignore
  await watch.start();
  expected = 3000;
  const ids = await write(3000);
  await done.promise;
  expect(seen).toEqual(ids.slice(0, seen.length));
});

test('with dead letters each event of a batch has its own, and is handed over as a batch of one again', async () => {
  const watch = watchOf(watchers);
  const replayed: [readonly { readonly id: number }[], BatchContext][] = [];
  let broken = true;
  watch.subscribe('orders:inserted', (events, context) => {
    if (broken) throw new Error('broken');
    replayed.push([events, context]);
  }, { batch: { size: 3, wait: 10_000 }, onError: { attempts: 1, then: 'deadLetter' }, name: 'letters' }); // prettier-ignore
  await watch.start();
  const ids = await write(3);
  await settled(db, watch);
  const letters: DeadLetter[] = [];
  for await (const letter of watch.deadLetters.list({ subscription: 'letters' })) letters.push(letter);
  expect(letters.map(({ event }) => event['id'])).toEqual(ids);
  broken = false;
  expect(await watch.deadLetters.replay({ subscription: 'letters' })).toBe(3);
  expect(replayed.map(([events]) => events)).toEqual(ids.map((id) => [{ id }]));
  for (const [[event], { watcher, contexts, signal }] of replayed) {
    expect([watcher, contexts.length, signal.aborted]).toEqual(['orders:inserted', 1, false]);
    expect(contexts[0]!.eventId).toBe(letters.find((letter) => letter.event['id'] === event!.id)!.eventId);
  }
});

test('with transaction: true what a batch writes commits with its position, or not at all', async () => {
  await db.sql('create table booked (id int primary key)');
  const watch = watchOf(watchers);
  watch.subscribe('orders:inserted', async (events, { client, attempt, contexts }) => {
    expect(contexts).toHaveLength(events.length);
    await client.query('insert into booked select unnest($1::int[])', [events.map(({ id }) => id)]);
    if (attempt === 1) throw new Error('after writing');
  }, { batch: { size: 10, wait: 20 }, transaction: true, name: 'booking' }); // prettier-ignore
  await watch.start();
  const ids = await write(25);
  await settled(db, watch);
  const rows = await db.sql<{ id: number }>('select id from booked order by id');
  expect(rows.map(({ id }) => id)).toEqual(ids);
});
