/** `status().undeliveredBytes`: the memory of undelivered changes, with real values. */
import { beforeAll, expect, test } from 'vitest';
import { defineWatchers, type SlotWatch } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { deferred, until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const mb = 1_000_000;
/** The size of a change apart from its large values. */
const little = 3000;

beforeAll(async () => {
  await db.sql('create table docs (id int primary key, n int, body text)');
  await db.sql('alter table docs alter body set storage external');
  await db.sql('alter table docs replica identity full');
});

/** Calls the handler of each change at once, and keeps it running until the test has looked. */
async function holding(columns: readonly string[], subscribe: (watch: SlotWatch<any>, held: Promise<void>) => void) {
  const watch = watchOf(
    defineWatchers(
      (['inserted', 'updated', 'deleted'] as const).map((type) => ['docs', type, { extraColumns: columns }] as const),
    ),
    { highWaterMark: 1000 * mb },
  );
  const held = deferred();
  subscribe(watch, held.promise);
  await watch.start();
  /** The bytes that the changes of `sql` add while they are held. */
  const adds = async (sql: string, params?: unknown[]) => {
    const before = watch.status().undeliveredBytes;
    await db.sql(sql, params);
    await until(() => watch.status().undeliveredBytes > before && !watch.status().receiving && !watch.status().waitingForVisibility, {
      describe: 'the change to be held', timeout: 30_000,
    }); // prettier-ignore
    return watch.status().undeliveredBytes - before;
  };
  const release = async () => {
    held.resolve();
    await settled(db, watch);
    expect(watch.status().undeliveredBytes).toBe(0);
  };
  return { adds, release };
}

const subscribeToAll = (watch: SlotWatch<any>, held: Promise<void>) => {
  for (const type of ['inserted', 'updated', 'deleted'])
    watch.subscribe(`docs:${type}`, () => held, { concurrency: 100 });
};

test.each([['small enough to come in one piece', 900_000], ['that comes in pieces', 20 * mb]])(
  'a value that no watcher needs takes no memory: %s', async (_, size) => {
    await db.sql('truncate docs');
    const { adds, release } = await holding([], subscribeToAll);
    expect(await adds(`insert into docs values (1, 1, repeat('x', ${size}))`)).toBeLessThan(little);
    expect(await adds(`update docs set n = 2`)).toBeLessThan(little); // the old row has the value
    expect(await adds(`update docs set body = repeat('y', ${size})`)).toBeLessThan(little);
    expect(await adds(`delete from docs`)).toBeLessThan(little);
    await release();
  },
); // prettier-ignore

test.each([['small enough to come in one piece', 900_000], ['that comes in pieces', 20 * mb]])(
  'a value that is watched takes its length, once for each row that has it: %s', async (_, size) => {
    await db.sql('truncate docs');
    const { adds, release } = await holding(['body'], subscribeToAll);
    const close = (bytes: number, copies: number) => {
      expect(bytes).toBeGreaterThanOrEqual(copies * size);
      expect(bytes).toBeLessThan(copies * size + little);
    };
    close(await adds(`insert into docs values (1, 1, repeat('x', ${size}))`), 1);
    close(await adds(`update docs set n = 2`), 1); // unchanged: only the old row has it
    close(await adds(`update docs set body = repeat('y', ${size})`), 2);
    close(await adds(`delete from docs`), 1);
    close(await adds(`insert into docs values (2, 1, repeat('é', ${size / 2}))`), 1); // two bytes of UTF-8
    await release();
  },
); // prettier-ignore

test('a logical message takes as much as its content, and nothing without a subscription', async () => {
  const { adds, release } = await holding([], (watch, held) => {
    watch.onMessage('wanted', () => held, { onError: 'retry' });
  });
  const emit = `select pg_logical_emit_message(true, $1, repeat('x', ${2 * mb}))`;
  const bytes = await adds(emit, ['wanted']);
  expect([bytes >= 2 * mb, bytes < 2 * mb + little]).toEqual([true, true]);
  await db.sql(emit, ['unwanted']);
  const small = await adds(emit.replace(String(2 * mb), '10'), ['wanted']);
  expect(small).toBeLessThan(little);
  await release();
});

test('the unread changes of a transaction take as much as each of them', async () => {
  await db.sql('truncate docs');
  const { adds, release } = await holding([], (watch, held) => {
    watch.onTransaction(async (transaction) => {
      await held;
      await transaction.toArray();
    });
  });
  const rows = 20;
  const bytes = await adds(`insert into docs select n, n, repeat('x', 900000) from generate_series(1, ${rows}) n`);
  expect(bytes).toBeLessThan(rows * little);
  expect(bytes).toBeGreaterThan(rows * 500);
  await release();
});
