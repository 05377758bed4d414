/** Existing rows of all kinds of tables, keys and subscriptions come as their changes would. */
import { expect, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const ids = (events: readonly any[]) => events.map(({ id }) => id);

/** All existing rows of a table, as one subscription gets them. */
async function read(
  entries: readonly any[],
  names: string | readonly string[],
  options: any = {},
  filter?: object,
  watchOptions: object = {},
) {
  const watch: any = watchOf(defineWatchers(entries as never), watchOptions as never);
  const heard: any[] = [];
  const handler = Array.isArray(names)
    ? (change: any) => void heard.push(change)
    : (event: any, context: any) => void heard.push({ watcher: context.watcher, event, context });
  const settings = { name: 'copy', existing: { version: 'v1', chunk: 3 }, ...options };
  const subscription = filter
    ? watch.subscribe(names, filter, handler, settings)
    : watch.subscribe(names, handler, settings);
  const warnings: WatchError[] = [];
  watch.on('warning', (warning: WatchError) => warnings.push(warning));
  await watch.start();
  await subscription.existing.done;
  return { watch, subscription, heard, warnings, events: heard.map(({ event }) => event) };
}

const keys: readonly [name: string, type: string, values: readonly string[]][] = [
  [
    'uuids',
    'uuid',
    [
      "'00000000-0000-0000-0000-000000000001'",
      "'ffffffff-0000-0000-0000-000000000000'",
      "'a0000000-0000-0000-0000-000000000000'",
    ],
  ],
  ['texts', 'text collate "C"', ["'a'", "'B'", "'ä'", "'it''s'", "'a/b,c'"]],
  ['plain_texts', 'text', ["'a'", "'B'", "'b'", "'A'"]],
  ['numerics', 'numeric', ['1.0', '10', '2', "'NaN'"]],
  ['stamps', 'timestamptz', ["'2020-01-01'", "'infinity'", "'-infinity'"]],
  ['bytes', 'bytea', ["'\\x00'", "'\\xff'"]],
  ['moods', 'mood', ["'sad'", "'ok'", "'happy'"]],
  ['positives', 'positive', ['3', '1', '2', '4', '7']],
  ['characters', 'char(3)', ["'a'", "'b'"]],
];

test('keys of all types are read in the order of their index, each once', async () => {
  await db.sql(`create type mood as enum ('sad', 'ok', 'happy'); create domain positive as int check (value > 0)`);
  for (const [table, type, values] of keys)
    await db.sql(
      `create table ${table} (id ${type} primary key); insert into ${table} values ${values.map((value) => `(${value})`).join(', ')}`,
    );
  const { heard, subscription } = await read(
    keys.map(([table]) => [table, 'inserted']),
    keys.map(([table]) => `${table}:inserted`),
    { existing: { version: 'v1', chunk: 1 } },
  );
  for (const [table, , values] of keys) {
    const rows = await db.sql<{ id: unknown }>(`select id from ${table} order by id`);
    expect(rows).toHaveLength(values.length);
    expect(
      heard.filter(({ context }) => context.table === table).map(({ event }) => event),
      table,
    ).toEqual(rows);
  }
  expect(subscription.existing.rows).toBe(keys.flatMap(([, , values]) => values).length);
});

test('composite keys, also with columns of different types and in another order than the table has them', async () => {
  await db.sql(`create table lines (note text, line int, "order" uuid, primary key ("order", line));
    insert into lines select 'n' || l, l, ('00000000-0000-0000-0000-00000000000' || o)::uuid from generate_series(1, 4) l, generate_series(1, 3) o`);
  const { events, heard } = await read([['lines', 'inserted', { extraColumns: ['note'] }]], 'lines:inserted', {
    existing: { version: 'v1', chunk: 2 },
  });
  expect(events).toEqual(await db.sql('select note, line, "order" from lines order by "order", line'));
  expect(heard[0].context.eventId).toBe('existing/v1/1/public.lines/00000000-0000-0000-0000-000000000001,1');
});

test('a partitioned table is read through its root, and an inheritance parent without its children', async () => {
  await db.sql(`create table parted (id int primary key) partition by range (id);
    create table parted_1 partition of parted for values from (0) to (5);
    create table parted_2 partition of parted for values from (5) to (10);
    insert into parted select generate_series(1, 9); analyze parted, parted_1, parted_2;
    create table parent (id int primary key); create table child () inherits (parent);
    insert into parent values (1), (2); insert into child values (3)`);
  const { heard, subscription } = await read(
    [
      ['parted', 'inserted'],
      ['parent', 'inserted'],
    ],
    ['parted:inserted', 'parent:inserted'],
  );
  const of = (table: string) => ids(heard.filter(({ context }) => context.table === table).map(({ event }) => event));
  expect(of('parted')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(of('parent')).toEqual([1, 2]);
  expect(subscription.existing.rows).toBe(11);
});

test('values are those of the stream', async () => {
  await db.sql(
    `create table odd (id int primary key, b bool, c char(5), f float8, j jsonb, t timestamptz, a int[], i interval, m text, n numeric)`,
  );
  const row = `true, 'x', 0.1, '{"a": 1}', '2020-01-01 12:00+02', '{1,2}', '1 day 2 hours', repeat('large', 1000), 1.50`;
  await db.sql(`insert into odd values (1, ${row})`);
  const extraColumns = ['b', 'c', 'f', 'j', 't', 'a', 'i', 'm', 'n'];
  const { watch, heard } = await read([['odd', 'inserted', { extraColumns }]], 'odd:inserted');
  await db.sql(`insert into odd values (2, ${row})`);
  await settled(db, watch);
  const events = heard.map(({ event }) => event);
  expect(events).toHaveLength(2);
  expect({ ...events[0], id: 2 }).toEqual(events[1]);
});

test('a filter and a condition apply to rows as to changes', async () => {
  await db.sql(`create table orders (id int primary key, status text, total int);
                insert into orders select n, case when n % 2 = 0 then 'paid' else 'open' end, n * 10 from generate_series(1, 12) n; analyze orders`);
  const entries = [['orders', 'inserted', { extraColumns: ['status', 'total'] }]];
  const filtered = await read(entries, 'orders:inserted', {}, { status: 'paid' });
  expect(ids(filtered.events)).toEqual([2, 4, 6, 8, 10, 12]);
  expect(filtered.subscription.existing).toMatchObject({ state: 'done', rows: 6, estimatedRows: undefined });
  await filtered.watch.stop();
  const some = defineWatchers(
    entries as never,
    { when: { 'orders:inserted': ({ total }: any) => total > 100 } } as never,
  );
  const watch: any = watchOf(some as never);
  const seen: number[] = [];
  const subscription = watch.subscribe('orders:inserted', ({ id }: any) => void seen.push(id), {
    name: 'copy',
    existing: 'v1',
  });
  await watch.start();
  await subscription.existing.done;
  expect(seen).toEqual([11, 12]);
});

test('several inserted watchers of one table in a list each get the row', async () => {
  await db.sql(
    'create table people (id int primary key, name text, mail text); insert into people values (1, $$a$$, $$b$$), (2, $$c$$, $$d$$)',
  );
  const entries = [
    ['people', 'inserted', { extraColumns: ['name'] }],
    ['people', 'inserted', { label: 'mails', extraColumns: ['mail'] }],
  ];
  const list = ['people:inserted', 'mails'];
  const { heard } = await read(entries, list);
  expect(heard.map(({ watcher, event }) => [watcher, event])).toEqual([
    ['people:inserted', { id: 1, name: 'a' }], ['mails', { id: 1, mail: 'b' }],
    ['people:inserted', { id: 2, name: 'c' }], ['mails', { id: 2, mail: 'd' }],
  ]); // prettier-ignore
  const transactional = await read(entries, list, { transaction: true });
  expect(transactional.heard).toHaveLength(4);
});

test('an iterator with existing yields the rows, and has the progress', async () => {
  await db.sql('create table yielded (id int primary key); insert into yielded select generate_series(1, 5)');
  const watch = watchOf(defineWatchers<{ yielded: { id: number } }>()([['yielded', ['inserted', 'deleted']]]));
  const changes = watch.events(['yielded:inserted', 'yielded:deleted'], { name: 'copy', existing: 'v1' });
  const deleted = recorder();
  watch.subscribe('yielded:deleted', deleted);
  await watch.start();
  const seen: (number | boolean)[][] = [];
  for await (const { event, context } of changes) {
    seen.push([event.id, context.existing]);
    if (seen.length === 5) {
      await db.sql('delete from yielded where id = 3');
      await until(() => deleted.all.length === 1, { describe: 'the change, which waits for the loop' });
    }
    if (seen.length === 6) break;
  }
  expect(seen).toEqual([[1, true], [2, true], [3, true], [4, true], [5, true], [3, false]]); // prettier-ignore
  expect(changes.existing).toMatchObject({ version: 'v1', rows: 5 });
});

test('a row whose handler fails is retried, then becomes a dead letter that is replayed with context.existing', async () => {
  await db.sql('create table poisoned (id int primary key); insert into poisoned select generate_series(1, 5)');
  const watch = watchOf(defineWatchers<{ poisoned: { id: number } }>()([['poisoned', 'inserted']]));
  let fails = true;
  const seen: (number | boolean)[][] = [];
  const subscription = watch.subscribe('poisoned:inserted', ({ id }, { existing, attempt }) => {
    if (id === 3 && fails) throw new Error('poison');
    if (id === 2 && attempt === 1) throw new Error('once');
    seen.push([id, existing]);
  }, { name: 'copy', existing: 'v1', onError: { attempts: 2, then: 'deadLetter' } }); // prettier-ignore
  await watch.start();
  await subscription.existing.done;
  expect(seen).toEqual([[1, true], [2, true], [4, true], [5, true]]); // prettier-ignore
  fails = false;
  const letters: string[] = [];
  for await (const { eventId } of watch.deadLetters.list()) letters.push(eventId);
  expect(letters).toEqual(['existing/v1/1/public.poisoned/3']);
  await watch.deadLetters.replay();
  expect(seen.at(-1)).toEqual([3, true]);
});

test('a subscription that ends before its rows are read rejects done with STOPPED, and leaves nothing behind', async () => {
  await db.sql('create table endless (id int primary key); insert into endless select generate_series(1, 5000)');
  const watch = watchOf(defineWatchers<{ endless: { id: number } }>()([['endless', 'inserted']]), { stopTimeout: 50 });
  let count = 0;
  const subscription = watch.subscribe('endless:inserted', () => {
    if (++count === 10) subscription.unsubscribe();
  }, { name: 'copy', existing: 'v1' }); // prettier-ignore
  await watch.start();
  await expect(subscription.existing.done).rejects.toMatchObject({ code: 'STOPPED' });
  await db.sql('insert into endless values (-1)');
  await settled(db, watch);
  expect(count).toBe(10);
  const other = watch.subscribe('endless:inserted', () => new Promise(() => {}), { name: 'other', existing: 'v1' });
  await until(() => watch.status().running === 1, { describe: 'its handler' });
  expect(watch.status().heldBy).toBeUndefined(); // the row holds nothing back
  void watch.stop();
  await expect(other.existing.done).rejects.toMatchObject({ code: 'STOPPED' });
});
