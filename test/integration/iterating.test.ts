import { beforeAll, beforeEach, expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { isAcknowledged, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ items: { id: number; kind: string } }>()([
  ['items', 'inserted', { extraColumns: ['kind'] }],
]);

beforeAll(() => db.sql('create table items (id int primary key, kind text)'));
beforeEach(() => db.sql('delete from items'));

test('a loop gets the events in order, and an event is done when the next one is requested', async () => {
  const watch = watchOf(watchers);
  const events = watch.events('items:inserted', { kind: 'a' });
  await watch.start();
  await db.sql(`insert into items values (1, 'a'), (2, 'b'), (3, 'a')`);
  const first = await events.next();
  expect(first.value).toMatchObject({
    watcher: 'items:inserted',
    event: { id: 1, kind: 'a' },
    context: { ordinal: 0 },
  });
  expect(watch.status().running).toBe(1);
  expect((await events.next()).value.event).toEqual({ id: 3, kind: 'a' });
  expect(isAcknowledged(watch, first.value.context.eventId)).toBe(false); // the transaction is not done before its last event
  const third = events.next();
  await settled(db, watch);
  await events.return!();
  expect(await third).toEqual({ done: true, value: undefined });
  expect(watch.status().subscriptions).toBe(0);
});

test('leaving the loop ends the subscription, and the delivered event is done', async () => {
  const watch = watchOf(watchers);
  const events = watch.events('items:inserted');
  await watch.start();
  await db.sql(`insert into items values (1), (2), (3)`);
  const seen: number[] = [];
  for await (const { event } of events) {
    seen.push(event.id);
    if (event.id === 2) break;
  }
  expect(seen).toEqual([1, 2]);
  expect(watch.status().subscriptions).toBe(0);
  await settled(db, watch);
});

test('an aborted signal ends the loop normally', async () => {
  const watch = watchOf(watchers);
  const controller = new AbortController();
  const events = watch.events('items:inserted', { signal: controller.signal });
  await watch.start();
  const next = events.next();
  controller.abort();
  expect(await next).toEqual({ done: true, value: undefined });
  expect(await events.next()).toEqual({ done: true, value: undefined });
});

test('stop() ends the loop; events that waited behind the current one are delivered again', async () => {
  const slot = `iterating_${process.pid}`;
  const first = watchOf(watchers, { slot });
  const events = first.events('items:inserted');
  await first.start();
  await db.sql(`insert into items values (1)`);
  await db.sql(`insert into items values (2)`);
  expect((await events.next()).value.event.id).toBe(1);
  const stopped = first.stop();
  expect(await events.next()).toEqual({ done: true, value: undefined });
  await stopped;

  const second = watchOf(watchers, { slot });
  const again = second.events('items:inserted');
  await second.start();
  expect((await again.next()).value.event.id).toBe(2);
  await again.return!();
});

test('an error that ends the watch is thrown by the loop', async () => {
  const watch = watchOf(watchers);
  const events = watch.events('items:inserted');
  watch.subscribe('items:inserted', () => Promise.reject(new Error('broken')), {
    onError: { attempts: 1, then: 'stop' },
  });
  await watch.start();
  await db.sql(`insert into items values (1)`);
  const loop = (async () => {
    for await (const _ of events);
  })();
  await expect(loop).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
  await until(() => watch.status().state === 'failed', { describe: 'the watch to have failed' });
});
