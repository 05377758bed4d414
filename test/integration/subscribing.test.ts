import { beforeAll, beforeEach, expect, test } from 'vitest';
import { ConfigurationError, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers([
  ['people', 'inserted', { extraColumns: ['role_id', 'team'] }],
  ['people', 'updated', { extraColumns: ['role_id', 'team'] }],
  ['people', 'deleted', { extraColumns: ['role_id', 'team'] }],
]);

beforeEach(() => db.sql('delete from people'));
beforeAll(async () => {
  await db.sql('create table people (id int primary key, role_id int, team text, note text)');
  await db.sql('alter table people replica identity full');
});

/** Keeps the ids that a handler is called with. */
const ids = () => recorder(({ id }: { readonly id?: unknown }) => id);

test('an id subscription gets its record only, however the id is written', async () => {
  const watch = watchOf(watchers);
  const number = ids();
  const text = ids();
  const bigint = ids();
  const object = ids();
  watch.subscribe('people:updated', 1, number);
  watch.subscribe('people:updated', '1', text);
  watch.subscribe('people:updated', 1n, bigint);
  watch.subscribe('people:deleted', { id: 2 }, object);
  await watch.start();
  await db.sql('insert into people (id) values (1), (2), (11)');
  await db.sql(`update people set note = 'x'`);
  await db.sql('delete from people');
  await settled(db, watch);
  for (const { all } of [number, text, bigint]) expect(all).toEqual([1]);
  expect(object.all).toEqual([2]);
});

test('an association subscription gets rows that have the value, and rows that leave it', async () => {
  const watch = watchOf(watchers);
  const seven = ids();
  const eight = ids();
  const nobody = ids();
  watch.subscribe('people:updated', { role_id: 7 }, seven);
  watch.subscribe('people:updated', { role_id: 8 }, eight);
  watch.subscribe('people:updated', { role_id: null }, nobody);
  await watch.start();
  await db.sql('insert into people values (1, 7), (2, 8)');
  await db.sql(`update people set note = 'same role' where id = 1`);
  await db.sql('update people set role_id = 8 where id = 1');
  await db.sql('update people set role_id = null where id = 2');
  await settled(db, watch);
  expect(seven.all).toEqual([1, 1]);
  expect(eight.all).toEqual([1, 2]);
  expect(nobody.all).toEqual([2]);
});

test('several association columns must all be equal; null matches null', async () => {
  const watch = watchOf(watchers);
  const both = ids();
  const nameless = ids();
  const keyed = ids();
  watch.subscribe('people:inserted', { role_id: 7, team: 'a' }, both);
  watch.subscribe('people:inserted', { team: null, role_id: 7 }, nameless);
  watch.subscribe('people:deleted', { id: 1, team: 'a' }, keyed);
  await watch.start();
  await db.sql(`insert into people values (1, 7, 'a'), (2, 7, 'b'), (3, 8, 'a'), (4, 7, null)`);
  await db.sql('delete from people');
  await settled(db, watch);
  expect(both.all).toEqual([1]);
  expect(nameless.all).toEqual([4]);
  expect(keyed.all).toEqual([1]);
});

test('the subscribers of both ids get a changed primary key', async () => {
  await db.sql('create table renumbered (id int primary key)');
  const watch = watchOf(defineWatchers([['renumbered', 'updated']]));
  const before = ids();
  const after = ids();
  watch.subscribe('renumbered:updated', 1, before);
  watch.subscribe('renumbered:updated', 2, after);
  await watch.start();
  await db.sql('insert into renumbered values (1)');
  await db.sql('update renumbered set id = 2');
  await settled(db, watch);
  expect(before.all).toEqual([2]);
  expect(after.all).toEqual([2]);
});

test('uuids match in any case, booleans and numerics by value', async () => {
  await db.sql('create table keyed (id uuid primary key, paid boolean, price numeric(10, 2), code char(4))');
  const watch = watchOf(
    defineWatchers([
      ['keyed', 'inserted', { extraColumns: ['paid', 'price', 'code'] }],
      ['keyed', 'updated'],
    ]),
  );
  const matched: string[] = [];
  watch.subscribe('keyed:updated', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', () => void matched.push('uuid'));
  watch.subscribe('keyed:inserted', { paid: true }, () => void matched.push('boolean'));
  watch.subscribe('keyed:inserted', { price: 1.5 }, () => void matched.push('numeric'));
  watch.subscribe('keyed:inserted', { code: 'ab' }, () => void matched.push('char'));
  await watch.start();
  await db.sql(`insert into keyed values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, 1.50, 'ab')`);
  await db.sql(`update keyed set price = 2`);
  await settled(db, watch);
  expect(matched.toSorted()).toEqual(['boolean', 'char', 'numeric', 'uuid']);
});

test('unsubscribe mirrors subscribe: the same arguments end exactly that subscription', async () => {
  const watch = watchOf(watchers);
  const a = ids();
  const b = ids();
  watch.subscribe('people:inserted', a);
  watch.subscribe('people:inserted', { role_id: 7 }, a);
  watch.subscribe('people:inserted', { role_id: 7 }, b);
  expect(watch.unsubscribe('people:inserted', { role_id: 8 }, a)).toBe(false);
  expect(watch.unsubscribe('people:inserted', a)).toBe(true);
  expect(watch.unsubscribe('people:inserted', a)).toBe(false);
  expect(watch.status().subscriptions).toBe(2);
  await watch.start();
  await db.sql('insert into people values (1, 7)');
  await settled(db, watch);
  expect(watch.unsubscribe('people:inserted', { role_id: 7 }, a)).toBe(true);
  await db.sql('insert into people values (2, 7)');
  await settled(db, watch);
  expect(a.all).toEqual([1]);
  expect(b.all).toEqual([1, 2]);
});

test('a subscription ends by its own method, by using, and by its signal', async () => {
  const watch = watchOf(watchers);
  const handler = ids();
  const controller = new AbortController();
  const own = watch.subscribe('people:inserted', handler);
  watch.subscribe('people:inserted', handler, { signal: controller.signal });
  watch.subscribe('people:inserted', handler, { signal: AbortSignal.abort() });
  expect(own.name).toBe('people:inserted');
  await watch.start();
  {
    using scoped = watch.subscribe('people:inserted', { role_id: 1 }, handler);
    expect(scoped.name).toBe('people:inserted {"role_id":1}');
    await db.sql('insert into people values (1, 1)');
    await settled(db, watch);
  }
  own.unsubscribe();
  own.unsubscribe();
  controller.abort();
  expect(watch.status().subscriptions).toBe(0);
  await db.sql('insert into people values (2, 1)');
  await settled(db, watch);
  expect(handler.all).toEqual([1, 1, 1]);
});

test('subscribing while the watch runs delivers later changes; unsubscribing in a handler stops them', async () => {
  const watch = watchOf(watchers);
  await watch.start();
  const seen: unknown[] = [];
  const subscription = watch.subscribe('people:inserted', ({ id }) => {
    seen.push(id);
    subscription.unsubscribe();
  });
  await db.sql('insert into people (id) values (1), (2)');
  await settled(db, watch);
  expect(seen).toEqual([1]);
});

test('a handler that ends another subscription ends it for the very event it was called with', async () => {
  const watch = watchOf(watchers);
  const seen: string[] = [];
  watch.subscribe('people:inserted', () => {
    seen.push('first');
    second.unsubscribe();
  });
  const second = watch.subscribe('people:inserted', () => void seen.push('second'));
  await watch.start();
  await db.sql('insert into people (id) values (1)');
  await settled(db, watch);
  expect(seen).toEqual(['first']);
});

test('invalid subscriptions are refused, with every problem at once', async () => {
  const watch = watchOf(watchers);
  const subscribe = watch.subscribe.bind(watch) as (...args: unknown[]) => unknown;
  const refused = (...args: unknown[]) => {
    let error: unknown;
    try {
      subscribe(...args);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigurationError);
    return (error as ConfigurationError).issues.map(({ message }) => message).join('\n');
  };
  const handler = () => {};
  const beforeAndAfterStart = () => {
    expect(refused('people:renamed', handler)).toContain("no watcher 'people:renamed'");
    expect(refused('people:inserted', 1, handler)).toContain("'inserted' cannot be filtered by id");
    expect(refused('people:updated', { note: 'x' }, handler)).toContain(
      "'note' is neither part of the primary key nor in extraColumns",
    );
    expect(refused('people:updated', { role_id: undefined }, handler)).toContain('undefined');
    expect(refused('people:updated', undefined, handler)).toContain('undefined');
    expect(refused('people:updated', null, handler)).toContain('cannot be null');
    expect(refused('people:updated', {}, handler)).toContain('no column');
    expect(refused('people:updated', 'not a handler')).toContain('not a function');
    expect(
      refused('people:updated', handler, { concurency: 2, timeout: -1, onError: 'ignore' }).split('\n'),
    ).toHaveLength(3);
  };
  beforeAndAfterStart();
  await watch.start();
  beforeAndAfterStart();
  expect(watch.status().subscriptions).toBe(0);
});

test('filters that need the database are checked by start()', async () => {
  await db.sql('create table pairs (a int, b int, c int, primary key (a, b))');
  const pairs = defineWatchers([['pairs', 'updated']]);
  const right = watchOf(pairs);
  right.subscribe('pairs:updated', { a: 1, b: 1 }, () => {});
  await right.start();
  const wrong = watchOf(pairs);
  wrong.subscribe('pairs:updated', 1, () => {});
  wrong.subscribe('pairs:updated', { a: 1, c: 1 }, () => {});
  await expect(wrong.start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    issues: [{ message: expect.stringContaining('2 columns') }, { message: expect.stringContaining("'c' is neither") }],
  });
});
