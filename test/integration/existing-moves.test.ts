/** A subscription to inserts only: a row that changes its key while its table is read is delivered all the same. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { nameOn, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/** A watch whose publication has the updates, and a subscription that does not get them. `handle` may take its time. */
function tagsOf(table: string, slot: string, handle: (tag: number) => unknown, chunk: number) {
  const watchers = defineWatchers([[table, ['inserted', 'updated'], { extraColumns: ['tag'] }]] as never);
  const watch: any = watchOf(watchers, { slot, stopTimeout: 10 });
  const tags = new Set<number>();
  const handler = async ({ tag }: { tag: number }) => {
    await handle(tag);
    tags.add(tag);
  };
  const options = { name: 'copy', concurrency: 16, existing: { version: 'v1', chunk } };
  return { watch, tags, existing: watch.subscribe(`${table}:inserted`, handler, options).existing };
}

test('a row whose key changes while its handler runs is delivered again if the worker ends before the handler', async () => {
  await db.sql(`create table cut_off (id int primary key, tag int);
                insert into cut_off select n, n from generate_series(1, 20) n`);
  const slot = nameOn(db);
  const forever = new Promise(() => {});
  let moves: Promise<unknown> | undefined;
  const move = () => (moves ??= db.sql('update cut_off set id = 107 where tag = 7'));
  const first = tagsOf('cut_off', slot, (tag) => (tag === 7 ? move().then(() => forever) : undefined), 10);
  await first.watch.start();
  const stored = async () =>
    (await db.sql<any>('select reread::text from walwatch.existing where slot = $1', [slot]))[0];
  await until(async () => (await stored())?.reread.includes('107'), { describe: 'the key change to be stored' });
  await settled(db, first.watch);
  await first.watch.stop();
  const second = tagsOf('cut_off', slot, () => {}, 10);
  await second.watch.start();
  await second.existing.done;
  expect([...new Set([...first.tags, ...second.tags])].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1)); // prettier-ignore
});

test('rows that exchange their keys in one transaction, with a deferrable key, are all delivered', async () => {
  await db.sql(`create table exchanged (id int primary key deferrable, tag int);
                alter table exchanged replica identity full;
                insert into exchanged select n, n from generate_series(1, 8) n`);
  const updated = new Set<number>();
  const exchange = async () => {
    await db.sql('update exchanged set id = id % 8 + 1');
    await until(() => updated.size === 8, { describe: 'the updates' });
  };
  let exchanging: Promise<unknown> | undefined;
  const { watch, tags, existing } = tagsOf('exchanged', nameOn(db), () => (exchanging ??= exchange()), 2);
  watch.subscribe('exchanged:updated', ({ tag }: { tag: number }) => void updated.add(tag));
  await watch.start();
  await existing.done;
  expect([...tags].toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});
