/** Keys whose order or equality is not that of their texts, and rows whose keys change while their table is read. */
import { expect, inject, test } from 'vitest';
import { type Change, defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { deferred, until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/**
 * Reads a table with columns id and n, and applies rows and changes to a copy by the text of the id. `during` runs in the handler of
 * the row or change with this number.
 */
async function copyWhile(table: string, during: Readonly<Record<number, () => Promise<unknown>>>, chunk = 2) {
  await db.sql(`alter table ${table} replica identity full`);
  const watch: any = watchOf(
    defineWatchers([[table, ['inserted', 'updated', 'deleted'], { extraColumns: ['n'] }]] as never),
  );
  const copy = new Map<unknown, unknown>();
  const rows: string[] = [];
  let count = 0;
  const subscription = watch.subscribe(
    [`${table}:inserted`, `${table}:updated`, `${table}:deleted`],
    async ({ type, event, context }: Change<any>) => {
      if (context.existing) rows.push(context.eventId.slice(context.eventId.lastIndexOf('/') + 1));
      await during[++count]?.();
      if (type === 'updated') copy.delete((context.previous as any).id);
      if (type === 'deleted') copy.delete(event.id);
      else copy.set(event.id, event.n);
    },
    { name: 'copy', existing: { version: 'v1', chunk } },
  );
  await watch.start();
  await subscription.existing.done;
  await settled(db, watch);
  const found = await db.sql<any>(`select id, n from ${table} order by n`);
  const byN = [...copy].map(([id, n]) => ({ id, n })).toSorted((a: any, b: any) => a.n - b.n);
  return { rows, copied: byN, table: found };
}

test('citext: rows are read in its order, and a key that changes its case is followed', async () => {
  await db.sql(`create schema extensions; create extension citext schema extensions;
    create table spelled (id extensions.citext primary key, n int);
    insert into spelled values ('b', 1), ('A', 2), ('C', 3), ('d', 4), ('E', 5), ('f', 6)`);
  const { rows, copied, table } = await copyWhile('spelled', {
    1: () =>
      db.sql(`update spelled set id = 'B', n = 11 where n = 1; update spelled set id = 'F', n = 16 where n = 6;
                     update spelled set id = 'aa', n = 15 where n = 5`),
  });
  expect(copied).toEqual(table);
  // The row that moved to where reading had been comes with the next chunk that is read after its change has passed.
  const inOrder = rows.filter((id) => id !== 'aa');
  // In capitals if a slow chunk was read again, after the update.
  expect(inOrder.slice(0, 4).map((id) => id.toLowerCase())).toEqual(['a', 'b', 'c', 'd']);
});

test('a nondeterministic collation: texts that it holds equal are one key in the table', async () => {
  await db.sql(`create collation anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table folded (id text collate anycase primary key, n int);
    insert into folded values ('b', 1), ('A', 2), ('C', 3), ('d', 4), ('E', 5), ('f', 6)`);
  const { rows, copied, table } = await copyWhile('folded', {
    1: () =>
      db.sql(`update folded set id = 'B', n = 11 where n = 1; update folded set id = 'F', n = 16 where n = 6;
                     delete from folded where id = 'D'; insert into folded values ('D', 14)`),
  });
  expect(copied).toEqual(table);
  // In capitals if a slow chunk was read again, after the update.
  expect(rows.slice(0, 3).map((id) => id.toLowerCase())).toEqual(['a', 'b', 'c']);
});

test.each([
  ['natural', 'text collate "en-x-icu"', ['a', 'B', 'c', 'É', 'f', 'Z'], 'e'],
  ['binary', 'text collate "C"', ['B', 'Z', 'a', 'c', 'f', 'É'], 'b'],
])('text is read in the order of its collation (%s)', async (name, type, order, between) => {
  const table = `texts_${name}`;
  await db.sql(`create table ${table} (id ${type} primary key, n int);
                insert into ${table} select id, row_number() over (order by id desc) from unnest($$${`{${order.join()}}`}$$::text[]) id`);
  const {
    rows,
    copied,
    table: found,
  } = await copyWhile(table, {
    1: () => db.sql(`update ${table} set n = n + 10 where n = 2; insert into ${table} values ('${between}', 30)`),
  });
  expect(copied).toEqual(found);
  expect(rows.map(decodeURIComponent).filter((id) => id !== between)).toEqual(order);
});

test.each([
  ['natural', 'en-x-icu', ['a', 'b', 'C', 'D', 'E', 'f']],
  ['binary', 'C', ['A', 'B', 'a', 'b', 'c', 'd']],
])(
  'keys that move are compared with the collation of the index, not of the database (%s)',
  async (name, collation, keys) => {
    const table = `moved_${name}`;
    await db.sql(`create table ${table} (id text collate "${collation}" primary key, tag text);
                insert into ${table} select id, id from unnest('{${keys.join()}}'::text[]) id`);
    const watch: any = watchOf(defineWatchers([[table, ['inserted', 'updated'], { extraColumns: ['tag'] }]] as never));
    const tags = new Set<string>();
    let first = true;
    const subscription = watch.subscribe(
      `${table}:inserted`,
      async ({ tag }: any) => {
        tags.add(tag);
        if (!first) return;
        first = false;
        await db.sql(`update ${table} set id = '0' || id where id = any('{${keys.slice(2, 5).join()}}')`);
      },
      { name: 'copy', existing: { version: 'v1', chunk: 2 } },
    );
    await watch.start();
    await subscription.existing.done;
    expect([...tags].toSorted()).toEqual(keys.toSorted());
  },
);

test('char(n): the padding belongs to the key, in rows as in changes', async () => {
  await db.sql(
    `create table padded (id char(4) primary key, n int); insert into padded values ('a', 1), ('b', 2), ('cccc', 3), ('d', 4)`,
  );
  const { rows, copied, table } = await copyWhile('padded', {
    1: () =>
      db.sql(
        `update padded set n = 12 where id = 'b'; update padded set id = '0', n = 14 where id = 'd'; delete from padded where id = 'a'`,
      ),
  });
  expect(copied).toEqual(table);
  expect(rows).toContain(encodeURIComponent('b   '));
});

test('numeric: 1.0 and 1.00 are equal in the table and different keys here; the copy by text is right', async () => {
  await db.sql(`create table amounts (id numeric primary key, n int);
                insert into amounts values (0.5, 1), (1.0, 2), (2.00, 3), (10, 4), (9.90, 5), ('NaN', 6), (-3, 7)`);
  const { rows, copied, table } = await copyWhile('amounts', {
    1: () =>
      db.sql(`update amounts set id = 1.00, n = 12 where id = 1; update amounts set id = 10.0, n = 14 where id = 10;
                     update amounts set n = 13 where id = 2`),
    4: () =>
      db.sql('update amounts set id = 1.000, n = 22 where id = 1; update amounts set id = 9.9, n = 15 where id = 9.9'),
  });
  expect(copied).toEqual(table);
  expect(rows.slice(0, 2)).toEqual(['-3', '0.5']);
  expect(rows.at(-1)).toBe('NaN');
});

/**
 * The subscription gets only inserts. A row that moves to a key that was read already is lost
 * unless it is read again. `count`: of rows that move.
 */
test.each([
  ['a few', 250, 1],
  ['more than one chunk reads', 3000, 1],
  ['more than are remembered', 21_500, 2],
] as const)('rows that change their keys to ones already read are all delivered: %s', async (_, count, runs) => {
  const table = `moved_${count}`;
  const stay = 500;
  await db.sql(`create table ${table} (id int primary key, tag int);
                insert into ${table} select n, n from generate_series(1, ${stay + count}) n; analyze ${table}`);
  // The watch has the updates in its publication; the subscription does not.
  const watch: any = watchOf(defineWatchers([[table, ['inserted', 'updated'], { extraColumns: ['tag'] }]] as never));
  const warnings: WatchError[] = [];
  watch.on('warning', (warning: WatchError) => warnings.push(warning));
  const tags = new Set<number>();
  const moved = new Set<number>();
  let first = true;
  const subscription = watch.subscribe(
    `${table}:inserted`,
    async ({ id, tag }: any) => {
      tags.add(tag);
      if (id < 0) moved.add(tag);
      if (!first) return;
      first = false;
      await db.sql(`update ${table} set id = -id where id > ${stay}`);
    },
    { name: 'copy', existing: { version: 'v1', chunk: 100 } },
  );
  await watch.start();
  await subscription.existing.done;
  expect(tags.size).toBe(stay + count);
  expect(moved.size).toBeGreaterThan(count - 200); // the first chunk had others at their old keys
  const told = warnings.filter(({ message }) => message.includes('more rows have changed their keys'));
  expect(told).toHaveLength(runs - 1);
  const [state] = await db.sql('select run, state, reread::text from walwatch.existing where table_name = $1', [
    `public.${table}`,
  ]);
  expect(state).toEqual({ run: runs, state: 'done', reread: '[]' });
});

test.each([
  ['no row is left in the range', 'emptied', 300, undefined],
  ['the row filter lets none of the rows that follow pass', 'unwanted', 150, 'wanted'],
] as const)(
  'key changes that a chunk sees are waited for, although the stream is late and %s',
  async (_, table, last, where) => {
    if (where && inject('server').version < 15) return; // no row filters
    await db.sql(`create table ${table} (id int primary key, tag int, wanted bool);
                  alter table ${table} replica identity full;
                  insert into ${table} select n, n, n <= ${last} from generate_series(1, 300) n`);
    await using proxy = await startProxy(db.url);
    const entry = [table, ['inserted', 'updated'], { where, extraColumns: ['tag'] }];
    const watch: any = watchOf(defineWatchers([entry] as never) as never, { connection: proxy.url });
    const tags = new Set<number>();
    const moved = deferred<Date>();
    const handler = async ({ tag }: any) => {
      if (tags.add(tag).size !== 60) return;
      proxy.hold('replication');
      const [now] = await db.sql<{ at: Date }>('select clock_timestamp() as at');
      await db.sql(`update ${table} set id = -id where id between 101 and ${last}`);
      moved.resolve(now!.at);
    };
    const options = { name: 'copy', existing: { version: 'v1', chunk: 50 } };
    const subscription = watch.subscribe(`${table}:inserted`, handler, options);
    await watch.start();
    const at = await moved.promise;
    const read = `select from pg_stat_activity where datname = current_database() and application_name like '%:existing'
                  and state = 'idle' and query_start > $1`;
    await until(async () => tags.size === 100 && (await db.sql(read, [at])).length === 1, {
      describe: 'the next chunk',
    });
    expect(subscription.existing.state).toBe('reading');
    proxy.release('replication');
    await subscription.existing.done;
    expect(tags.size).toBe(last);
  },
);
