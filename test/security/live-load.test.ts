/** A client that causes a lot of work. */
import { expect, test } from 'vitest';
import { CatchUp } from '../../src/sse/catch-up.ts';
import { criterion, FilterColumns } from '../../src/sse/criterion.ts';
import { History } from '../../src/sse/history.ts';
import { Trails } from '../../src/sse/trails.ts';
import { Turns } from '../../src/sse/turns.ts';
import { openStream } from '../support/event-stream.ts';
import { fakeWatch } from '../support/fake-watch.ts';
import { ids, live } from '../support/live.ts';
import { sse } from '../../src/sse/index.ts';

const columnNames = Array.from({ length: 9 }, (_, n) => `c${n}`);
/** A filter for each set of these columns. */
const filters = Array.from({ length: 511 }, (_, n) =>
  Object.fromEntries(columnNames.filter((_, bit) => ((n + 1) >> bit) & 1).map((column) => [column, 'other'])),
);

/** A history of 10,000 changes of the same values. */
function filled(count: number, wanted: readonly Record<string, string>[]) {
  const columns = new FilterColumns();
  const history = new History(20_000, 1e9);
  const trails = new Trails();
  const returning = wanted.map((filter, index) => {
    const wish = columns.wish(criterion(filter));
    return { index, wish, trails, from: history.next };
  });
  const row = Object.fromEntries(columnNames.map((column) => [column, 'same']));
  for (let n = 0; n < count; n++) {
    const change = { eventId: `0/A/${n}`, body: new Uint8Array(10), now: columns.textsOf(row), before: [] };
    history.add(change, trails);
  }
  return { history, returning };
}

test('a hundred filters that match nothing in a long history cost no scan of it', () => {
  const { history, returning } = filled(10_000, filters.slice(0, 100));
  expect(new CatchUp(history, returning, 1e9).run().next()).toEqual({ done: true, value: true });
});

test('a hundred filters that match everything yield to other work, and the client must soon load again', () => {
  const all = filters
    .slice(0, 100)
    .map((filter) => Object.fromEntries(Object.keys(filter).map((key) => [key, 'same'])));
  const { history, returning } = filled(10_000, all);
  const work = new CatchUp(history, returning, 1e9).run();
  let turns = 0;
  let step = work.next();
  for (; !step.done; step = work.next()) turns++;
  expect([turns, step.value]).toEqual([25, false]);
});

/** A client that missed this many changes and catches up in turns. */
async function backAfter(changes: number) {
  const { fake, handler } = live({ clientBuffer: 10_000_000 });
  const asked = [['users:updated', { role_id: 7 }]];
  const first = await openStream(handler, asked);
  const { lastEventId } = await first.has(({ type }) => type === 'position');
  await first.close();
  for (let n = 1; n <= changes; n++) fake.emit('users:updated', `0/A/${n}`, { id: n, role_id: 7 });
  return { fake, handler, back: await openStream(handler, asked, { lastEventId }) };
}

test('a change during catch-up is delivered once, after the missed changes', async () => {
  const { fake, handler, back } = await backAfter(5000);
  expect(ids(back)).toEqual([]);
  const other = await openStream(handler, [['users:updated', 5001]]);
  fake.emit('users:updated', '0/A/5001', { id: 5001, role_id: 7 });
  await other.has(({ lastEventId: id }) => id === '0/A/5001');
  fake.emit('users:updated', '0/A/5002', { id: 5002, role_id: 8 });
  await back.has(({ type }) => type === 'position');
  fake.emit('users:updated', '0/A/5003', { id: 5003, role_id: 7 });
  await back.has(({ lastEventId: id }) => id === '0/A/5003');
  expect(ids(back)).toEqual([...Array.from({ length: 5001 }, (_, n) => `0/A/${n + 1}`), '0/A/5003']);
  for (const stream of [back, other]) await stream.close();
});

test('a client loads again if changes are dropped while it catches up', async () => {
  const { fake, back } = await backAfter(5000);
  fake.tell('gap');
  await back.has(({ type }) => type === 'position');
  expect(back.messages.map(({ type }) => type)).toEqual(['reset', 'position']);
  await back.close();
});

test('turns are given one at a time, and none is wasted on a disconnected client', async () => {
  const turns = new Turns();
  const order: number[] = [];
  const gone = new Set<number>([1, 2]);
  const take = async (n: number) => {
    await turns.next(() => gone.has(n));
    if (!gone.has(n)) order.push(n);
  };
  await Promise.all([0, 1, 2, 3].map(take));
  expect(order).toEqual([0, 3]);
});

test('511 column sets cost one lookup per column of a change, not one per set', async () => {
  const details = { type: 'updated', table: 'users', primaryKey: ['id'], extraColumns: columnNames } as const;
  const fake = fakeWatch({ 'users:updated': details });
  const handler = sse(fake.watch, { authorize: () => true });
  const streams = [];
  for (let at = 0; at < filters.length; at += 50)
    streams.push(await openStream(handler, filters.slice(at, at + 50).map((filter) => ['users:updated', filter]))); // prettier-ignore
  let looks = 0;
  const row: Record<string, unknown> = { id: 1 };
  for (const column of columnNames)
    Object.defineProperty(row, column, { enumerable: true, get: () => (looks++, column === 'c8' ? 'other' : 'same') });
  fake.emit('users:updated', '0/A/0', row);
  // For the message, and for the filters.
  expect(looks).toBe(2 * columnNames.length);
  // The filter of c8 alone is number 255.
  await streams[5]!.has(({ lastEventId }) => lastEventId === '0/A/0');
  expect(streams[5]!.changes.map((change) => change.for)).toEqual([[5]]);
  for (const stream of streams) await stream.close();
});
