/** Existing rows have the names and values that changes have. */
import { bigint, integer, jsonb, numeric, pgEnum, pgSchema, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'; // prettier-ignore
import { expect, test } from 'vitest';
import { type Change, defineWatchers, table } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/** Starts a watch, and writes the row again as a change. Returns both as the subscription got them. */
async function rowAndChange(watchers: any, list: readonly string[], write: string, filter?: object) {
  const watch: any = watchOf(watchers);
  const heard: Change<any>[] = [];
  const handler = filter
    ? (event: any, context: any) => void heard.push({ event, context } as never)
    : (change: Change<any>) => void heard.push(change);
  const options = { name: 'copy', existing: 'v1' };
  const subscription = filter
    ? watch.subscribe(list[0], filter, handler, options)
    : watch.subscribe(list, handler, options);
  await watch.start();
  await subscription.existing.done;
  await db.sql(write);
  await settled(db, watch);
  const of = (existing: boolean) => heard.filter(({ context }) => context.existing === existing);
  return { rows: of(true), changes: of(false) };
}

const events = (changes: readonly Change<any>[]) => changes.map(({ event }) => event);

test('Drizzle: property names, and the values that Drizzle selects', async () => {
  const mood = pgEnum('mood', ['sad', 'happy']);
  const posts = pgTable('posts', {
    postId: bigint('post_id', { mode: 'bigint' }).primaryKey(),
    authorName: text('author_name'),
    price: numeric('price', { mode: 'number' }),
    exact: numeric('exact'),
    publishedAt: timestamp('published_at', { withTimezone: true }),
    meta: jsonb('meta').$type<{ a: number }>(),
    tags: text('tags').array(),
    mood: mood('mood'),
  });
  await db.sql(`create type mood as enum ('sad', 'happy');
    create table posts (post_id int8 primary key, author_name text, price numeric, exact numeric, published_at timestamptz, meta jsonb, tags text[], mood mood)`);
  const insert = (id: number) =>
    `insert into posts values (${id}, 'ada', 1.50, 1.50, '2026-11-22 10:00+02', '{"a": 1}', '{a,"b c"}', 'happy')`;
  await db.sql(insert(1));
  const columns = ['authorName', 'price', 'exact', 'publishedAt', 'meta', 'tags', 'mood'] as const;
  const watchers = defineWatchers()([[posts, 'inserted', { extraColumns: columns }]]);
  const { rows, changes } = await rowAndChange(watchers, ['posts:inserted'], insert(2));
  const expected = {
    authorName: 'ada', price: 1.5, exact: '1.50', publishedAt: new Date('2026-11-22T08:00Z'), meta: { a: 1 }, tags: ['a', 'b c'], mood: 'happy',
  }; // prettier-ignore
  expect(events(rows)).toEqual([{ postId: 1n, ...expected }]);
  expect(events(changes)).toEqual([{ postId: 2n, ...expected }]);
  expect(Object.keys(rows[0]!.event)).toEqual(Object.keys(changes[0]!.event));
  expect(rows[0]!.context.eventId).toBe('existing/v1/1/public.posts/1');
});

test('Drizzle: a composite key, another schema, and a filter by property names', async () => {
  const stock = pgSchema('shop').table(
    'stock',
    { partId: text('part_id'), placeNo: integer('place_no'), amountLeft: numeric('amount_left') },
    (t) => [primaryKey({ columns: [t.placeNo, t.partId] })],
  );
  await db.sql(`create schema shop; create table shop.stock (part_id text, place_no int, amount_left numeric, primary key (place_no, part_id));
                insert into shop.stock values ('bolt', 1, 5), ('nut', 1, 6), ('nut', 2, 7)`);
  const entry = [table(stock)({ primaryKey: ['partId', 'placeNo'] }), 'inserted', { extraColumns: ['amountLeft'] }];
  const { rows, changes } = await rowAndChange(
    defineWatchers([entry] as never),
    ['shop.stock:inserted'],
    `insert into shop.stock values ('nut', 3, 8), ('bolt', 4, 9)`,
    { partId: 'nut' },
  );
  expect(events(rows)).toEqual([
    { partId: 'nut', placeNo: 1, amountLeft: '6' },
    { partId: 'nut', placeNo: 2, amountLeft: '7' },
  ]);
  expect(events(changes)).toEqual([{ partId: 'nut', placeNo: 3, amountLeft: '8' }]);
  expect(rows[0]!.context.eventId).toBe('existing/v1/1/shop.stock/1,nut'); // in the order of the index
});

test('naming: camelCase names, also inside JSON, in rows as in changes', async () => {
  const insert = (id: number) =>
    `insert into user_accounts values (${id}, 7, 'Oslo', '{"dark_mode": true, "its_parts": [{"part_no": 1}]}')`;
  await db.sql(
    `create table user_accounts (account_id int primary key, role_id int, address2 text, user_settings jsonb); ${insert(1)}`,
  );
  const watchers = defineWatchers(
    [['userAccounts', ['inserted', 'updated'], { extraColumns: ['roleId', 'address2', 'userSettings'] }]] as never,
    { naming: 'camelCase' } as never,
  );
  const { rows, changes } = await rowAndChange(watchers, ['userAccounts:inserted', 'userAccounts:updated'], insert(2));
  const expected = { roleId: 7, address2: 'Oslo', userSettings: { darkMode: true, itsParts: [{ partNo: 1 }] } };
  expect(events(rows)).toEqual([{ accountId: 1, ...expected }]);
  expect(events(changes)).toEqual([{ accountId: 2, ...expected }]);
  const { watcher, type, context } = rows[0]!;
  expect({ watcher, type, eventId: context.eventId, table: context.table }).toEqual({
    watcher: 'userAccounts:inserted', type: 'inserted', eventId: 'existing/v1/1/public.user_accounts/1', table: changes[0]!.context.table,
  }); // prettier-ignore
});
