/** Existing rows while the server, the table or the application gets in the way. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { writeTo } from '../support/copier.ts';
import { copyOn, sorted, stopAt } from '../support/existing-copy.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();

const copyOf = copyOn(db);

test.each([
  ['a column is added', 'alter table changed add extra text', 300],
  ['a column is dropped', 'alter table changed add gone int; alter table changed drop gone', 300],
  ['a type is changed, which rewrites it', 'alter table changed alter version type bigint', 300],
  ['it is rewritten by VACUUM FULL', 'vacuum full changed', 300],
  ['it is emptied', 'truncate changed', 0],
])('reading a table continues after %s in the middle', async (_, statement, rows) => {
  await db.sql('drop table if exists changed');
  const { watch, copy, table, subscribe, existingRows } = await copyOf('changed', 300, { pause: 1 });
  const subscription = subscribe();
  await watch.start();
  await until(() => existingRows.length > 60, { describe: 'some rows' });
  for (const one of statement.split('; ')) await db.sql(one);
  await subscription.existing.done;
  await settled(db, watch);
  expect(copy.size).toBe(rows);
  expect([...copy.keys()].toSorted((a, b) => a - b)).toEqual([...(await table()).keys()].toSorted((a, b) => a - b));
});

test('a table that is dropped in the middle ends its reading with a warning', async () => {
  const { during, reached, goOn } = stopAt(61);
  const { watch, subscribe, told } = await copyOf('dropped', 300, { during });
  const subscription = subscribe();
  await watch.start();
  await reached;
  await db.sql('drop table dropped');
  goOn();
  await subscription.existing.done;
  expect(told().at(-1)).toMatch(/"public"."dropped" was dropped: its existing rows are not read further/);
});

test('a lock on the table delays rows, causes one warning, and does not keep the slot from moving', async () => {
  const { during, reached, goOn } = stopAt(61);
  const { watch, copy, table, subscribe, existingRows, told } = await copyOf('locked', 300, { during });
  const subscription = subscribe();
  await watch.start();
  await reached;
  const locker = await db.client();
  await locker.query('begin; lock table locked in access exclusive mode');
  goOn();
  await until(() => told().length > 0, { describe: 'the warning' });
  const before = existingRows.length;
  await locker.query(`select pg_logical_emit_message(true, 'x', '')`);
  await settled(db, watch); // nothing is held back
  expect(existingRows.length - before).toBeLessThan(60);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await locker.query('update locked set version = 1 where id = 290; commit');
  await subscription.existing.done;
  await settled(db, watch);
  expect(told()).toEqual([expect.stringMatching(/tried again: canceling statement due to lock timeout/)]);
  expect(sorted(copy)).toEqual(sorted(await table()));
});

test('the copy is right after very many key changes in the middle, and each row was read', async () => {
  const { watch, copy, table, subscribe, existingRows, told } = await copyOf('shifted', 22_000, {
    existing: { chunk: 500 },
  });
  const subscription = subscribe();
  await watch.start();
  await until(() => existingRows.length > 500, { describe: 'some rows' });
  await db.sql('update shifted set id = id - 100000 where id > 500');
  await subscription.existing.done;
  await settled(db, watch);
  // Not only as changes: each row was read at its old or its new key.
  const read = new Set(existingRows.map((eventId) => Number(eventId.slice(eventId.lastIndexOf('/') + 1))));
  const ids = Array.from({ length: 22_000 }, (_, n) => n + 1);
  expect(ids.filter((id) => !read.has(id) && !read.has(id - 100_000))).toEqual([]);
  expect(sorted(copy)).toEqual(sorted(await table()));
  expect(told().filter((message) => message.includes('changed their keys')).length).toBeLessThanOrEqual(1);
});

test('a chunk that waits for the end of a rewrite of its table has all rows', async () => {
  const { during, reached, goOn } = stopAt(61);
  const { watch, copy, table, subscribe, existingRows } = await copyOf('rewritten', 300, { during });
  const subscription = subscribe();
  await watch.start();
  await reached;
  const other = await db.client();
  await other.query('begin; alter table rewritten alter version type int using version + 0');
  goOn();
  const waiting = () => db.sql(`select from pg_locks where not granted and relation = 'rewritten'::regclass`);
  await until(async () => (await waiting()).length > 0, { describe: 'a chunk that waits' });
  await other.query('commit');
  await subscription.existing.done;
  await settled(db, watch);
  expect(existingRows).toHaveLength(300);
  expect(sorted(copy)).toEqual(sorted(await table()));
});

test.each(['read', 'ignore'] as const)('after a gap between two starts, afterGap: %s', async (afterGap) => {
  const name = `gaps_${afterGap}`;
  const { watch, existingRows, subscribe, slot, told } = await copyOf(name, 200, {
    existing: { afterGap },
    watchOptions: {},
    slot: slotName(),
  });
  const subscription = subscribe();
  await watch.start();
  await subscription.existing.done;
  const { done } = subscription.existing;
  expect(existingRows).toHaveLength(200);
  const gap = new Promise<void>((resolve) => watch.on('gap', () => resolve()));
  await watch.stop();
  await db.dropSlot(slot);
  const next = await copyOf(name, 200, {
    existing: { afterGap },
    slot,
    watchOptions: { slot: { name: slot, onLost: 'recreate' } },
  });
  const again = next.subscribe();
  await next.watch.start();
  await again.existing.done;
  expect(next.existingRows).toHaveLength(afterGap === 'read' ? 200 : 0);
  if (afterGap === 'read') expect(next.existingRows[0]).toBe(`existing/v1/2/public.${name}/1`);
  expect(next.told()[0]).toMatch(
    afterGap === 'read'
      ? /changes were lost; its existing rows are read again/
      : /changes were lost; with afterGap: 'ignore'/,
  );
  expect(told()).toEqual([]);
  void gap;
  await done;
});

test('who subscribes after the start reads rows at once, and again if it had read them before', async () => {
  const { watch, existingRows, subscribe, told } = await copyOf('subscribed', 50);
  await watch.start();
  const first = subscribe();
  await first.existing.done;
  expect(existingRows).toHaveLength(50);
  first.unsubscribe();
  await db.sql('insert into subscribed values (1000)');
  const second = subscribe();
  await second.existing.done;
  expect(existingRows).toHaveLength(101);
  expect(told()).toEqual([expect.stringMatching(/it subscribed after the start/)]);
});

test('rows are spliced exactly while four writers write, also with commits that are not durable at once', async () => {
  const { watch, copy, wrong, table, subscribe } = await copyOf('busy', 2500, { pause: 1 });
  const subscription = subscribe();
  const end = writeTo(db, 'busy', { pause: 20 });
  await watch.start();
  await subscription.existing.done;
  await end();
  await settled(db, watch);
  expect(wrong).toEqual([]);
  expect(sorted(copy)).toEqual(sorted(await table()));
});

test('a change of a row that has not come yet waits while its chunk is read', async () => {
  // The last row of the chunk takes long, and the server sends some rows before it together with it.
  await db.sql(`create table wide (id int primary key, version int not null default 0, note text);
                insert into wide select n, 0, case when n = 1000 then repeat('x', 60000000) end from generate_series(1, 1000) n`);
  const { watch, copy, wrong, table, subscribe, existingRows } = await copyOf('wide', 1000, {
    existing: { chunk: 1000 }, columns: ['version', 'note'],
  }); // prettier-ignore
  const subscription = subscribe();
  await watch.start();
  await until(() => existingRows.length > 0, { describe: 'the first row' });
  await db.sql('update wide set version = 1 where id between 700 and 999');
  await subscription.existing.done;
  await settled(db, watch);
  expect(wrong).toEqual([]);
  expect(sorted(copy)).toEqual(sorted(await table()));
});

// A session beside the stream gives up a silent server after 60 s.
test('stop() does not wait for a server that is silent while rows are read', async () => {
  await using proxy = await startProxy(db.url);
  await db.sql('create table silenced (id int primary key); insert into silenced select generate_series(1, 1000)');
  const watch = watchOn(db)(defineWatchers<{ silenced: { id: number } }>()([['silenced', 'inserted']]), {
    connection: proxy.url,
  });
  let rows = 0;
  const handler = () => {
    if (++rows === 50) proxy.swallow();
  };
  const subscription = watch.subscribe('silenced:inserted', handler, {
    name: 'copy', existing: { version: 'v1', chunk: 10 },
  }); // prettier-ignore
  const ended = expect(subscription.existing.done).rejects.toMatchObject({ code: 'STOPPED' });
  await watch.start();
  await until(() => rows >= 50, { describe: 'some rows' });
  await watch.stop();
  await ended;
});
