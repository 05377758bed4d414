/** The sweep of docs/how-to/rebuild-a-read-model.md: after a gap, entries of rows that were deleted in it are found and removed. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { errorResponse, startProxy } from '../support/proxy.ts';
import { deferred } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

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
