/** A gap while changes stream: the slot is lost and created again. The rows are read again, and a sweep finds rows that were deleted in the gap. */
import { expect, test } from 'vitest';
import { type Change, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { copyOn, sorted } from '../support/existing-copy.ts';
import { errorResponse, startProxy } from '../support/proxy.ts';
import { deferred, until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

test('a listener of gap that waits for the existing rows can remove entries of rows that were deleted in the gap', async () => {
  await db.sql(`create table entries (id int primary key); insert into entries select generate_series(1, 50)`);
  const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', ['inserted', 'deleted']]]);
  const slot = slotName();
  await using proxy = await startProxy(db.url);
  await using watch = watchOf(watchers, { connection: proxy.url, slot: { name: slot, onLost: 'recreate' } });
  const index = new Map<number, number>();
  let mark = 1;
  const subscription = watch.subscribe(
    ['entries:inserted', 'entries:deleted'],
    ({ type, event }) => void (type === 'deleted' ? index.delete(event.id) : index.set(event.id, mark)),
    { name: 'index', existing: 'v1' },
  );
  const swept = deferred();
  watch.on('gap', () => {
    mark = 2;
    void subscription.existing.done.then(() => {
      for (const [id, of] of index) if (of !== mark) index.delete(id);
      swept.resolve();
    });
  });
  await watch.start();
  await subscription.existing.done;
  expect(index.size).toBe(50);

  proxy.behave(errorResponse('57P03', 'the database system is starting up'));
  proxy.reset();
  await db.sql('delete from entries where id > 40');
  await db.dropSlot(slot);
  proxy.behave('forward');
  await swept.promise;
  expect([...index.keys()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => n + 1));
  expect(subscription.existing).toMatchObject({ state: 'done', rows: 40 });
});

/** A copy whose slot is lost in the handler of the row or change with the number `count`. `sql` runs while nothing is streamed. */
async function lostAfter(table: string, count: number, afterGap: 'read' | 'ignore', sql: string) {
  const slot = slotName();
  const proxy = await startProxy(db.url);
  const lose = async () => {
    proxy.behave(errorResponse('57P03', 'the database system is starting up'));
    proxy.reset();
    await db.sql(sql);
    await db.dropSlot(slot);
    proxy.behave('forward');
  };
  const during = (_: Change<any>, handled: number) => (handled === count ? lose() : undefined);
  const copied = await copyOn(db)(table, 300, {
    during,
    slot,
    existing: { afterGap },
    watchOptions: { connection: proxy.url, slot: { name: slot, onLost: 'recreate' } },
  });
  let gaps = 0;
  copied.watch.on('gap', () => gaps++);
  return { ...copied, proxy, gap: () => until(() => gaps === 1, { describe: 'the gap' }), lose };
}

const missed =
  'update # set version = 7 where id in (5, 290); insert into # values (1000, 3); delete from # where id = 6';

test("a gap in the middle of reading: with afterGap 'read' all rows are read again", async () => {
  const { watch, copy, table, subscribe, existingRows, told, gap, proxy } = await lostAfter(
    'again',
    120,
    'read',
    missed.replaceAll('#', 'again'),
  );
  await using _ = proxy;
  const subscription = subscribe();
  await watch.start();
  await gap();
  await subscription.existing.done;
  await settled(db, watch);
  const second = existingRows.filter((id) => id.startsWith('existing/v1/2/'));
  expect(new Set(second).size).toBe(300); // one is new, one is gone
  expect(second).toHaveLength(300);
  expect(told()).toEqual([expect.stringMatching(/changes were lost; its existing rows are read again/)]);
  copy.delete(6); // it was deleted in the gap
  expect(sorted(copy)).toEqual(sorted(await table()));
  await watch.stop();
});

test("a gap in the middle of reading: with afterGap 'ignore' reading continues where it was", async () => {
  const { watch, copy, subscribe, existingRows, told, gap, proxy } = await lostAfter(
    'ignored',
    120,
    'ignore',
    missed.replaceAll('#', 'ignored'),
  );
  await using _ = proxy;
  const subscription = subscribe();
  await watch.start();
  await gap();
  await subscription.existing.done;
  await settled(db, watch);
  expect(existingRows.filter((id) => !id.startsWith('existing/v1/1/'))).toEqual([]);
  expect(new Set(existingRows).size).toBe(300);
  expect(told()).toEqual([
    expect.stringMatching(/changes were lost; with afterGap: 'ignore' its existing rows are not read again/),
  ]);
  expect([copy.get(5), copy.get(290)]).toEqual([0, 7]); // read before the gap, and after it
  await watch.stop();
});

test("a gap after all is read: with afterGap 'ignore' nothing is read again, and later changes come", async () => {
  const { watch, copy, subscribe, existingRows, told, gap, lose, proxy } = await lostAfter(
    'finished',
    0,
    'ignore',
    missed.replaceAll('#', 'finished'),
  );
  await using _ = proxy;
  const subscription = subscribe();
  await watch.start();
  await subscription.existing.done;
  await lose();
  await gap();
  await until(() => told().length > 0, { describe: 'the warning' });
  await db.sql('update finished set version = version + 1 where id = 5');
  await settled(db, watch);
  await subscription.existing.done;
  expect(subscription.existing.state).toBe('done');
  expect(existingRows).toHaveLength(300);
  expect(copy.get(5)).toBe(8);
  await watch.stop();
});
