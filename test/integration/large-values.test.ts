/** Rows as large and as wide as PostgreSQL allows. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorderOn } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

const digest = (text: string) => createHash('md5').update(text).digest('hex');

test(
  'a text of 100 MB arrives complete, although it is larger than the memory budget',
  { timeout: 180_000 },
  async () => {
    await db.sql('create table giants (id int primary key, body text)');
    const watch = watchOf(
      defineWatchers([
        ['giants', 'inserted', { extraColumns: ['body'] }],
        ['giants', 'updated'],
      ]),
      { highWaterMark: 16 * 1024 * 1024 },
    );
    const { all: events } = recorderOn(watch, 'giants:inserted');
    const updated = recorderOn(watch, 'giants:updated');
    await watch.start();
    // 'é' crosses every boundary between chunks, sooner or later.
    const unit = '0123456789 é 😀 ';
    const [row] = await db.sql<{ md5: string; bytes: number }>(
      `with row as (insert into giants values (1, repeat($1, 100 * 1024 * 1024 / octet_length($1) + 1)) returning body)
     select md5(body), octet_length(body) as bytes from row`,
      [unit],
    );
    await db.sql('update giants set id = 2');
    await settled(db, watch);
    expect(row!.bytes).toBeGreaterThan(100 * 1024 * 1024);
    expect(Buffer.byteLength(events[0].body)).toBe(row!.bytes);
    expect(digest(events[0].body)).toBe(row!.md5);
    expect(updated.all).toEqual([{ id: 2 }]);
  },
);

test('of 1,600 columns two or all are delivered, each correctly', async () => {
  const names = Array.from({ length: 1600 }, (_, index) => `c${index}`);
  await db.sql(`create table wide (${names.map((name) => `${name} int`).join(', ')}, primary key (c0))`);
  await db.sql('alter table wide replica identity full');
  const watch = watchOf(
    defineWatchers([
      ['wide', 'inserted', { extraColumns: ['c1599', 'c800'] }],
      ['wide', 'inserted', { label: 'all_inserted', extraColumns: names }],
      ['wide', 'updated', { label: 'all_updated', extraColumns: names }],
      ['wide', 'updated', { label: 'last_changed', triggerColumns: ['c1599'] }],
      ['wide', 'deleted', { extraColumns: names }],
    ]),
  );
  const two = recorderOn(watch, 'wide:inserted');
  const inserted = recorderOn(watch, 'all_inserted');
  const updated = recorderOn(watch, 'all_updated');
  const changed = recorderOn(watch, 'last_changed');
  const deleted = recorderOn(watch, 'wide:deleted');
  await watch.start();
  await db.sql(`insert into wide values (${names.map((_, index) => (index % 5 === 3 ? 'null' : index)).join(', ')})`);
  const before = await db.sql('select * from wide');
  await db.sql('update wide set c1598 = -1');
  await db.sql('update wide set c1599 = -2, c3 = 3');
  const after = await db.sql('select * from wide');
  await db.sql('delete from wide');
  await settled(db, watch);
  expect(two.all).toEqual([{ c0: 0, c800: before[0]!['c800'], c1599: 1599 }]);
  expect(inserted.all).toStrictEqual(before);
  expect(updated.contexts[0]!.previous).toStrictEqual(before[0]);
  expect(updated.all[1]).toStrictEqual(after[0]);
  expect(changed.all).toEqual([{ c0: 0 }]);
  expect(deleted.all).toStrictEqual(after);
});
