/** For a Drizzle table, events contain what Drizzle's select returns, under Drizzle's names. */
import { drizzle } from 'drizzle-orm/node-postgres';
import { bigint, bigserial, boolean, customType, date, interval, jsonb, numeric, pgEnum, pgSchema, pgTable, primaryKey, text, time, timestamp, uuid } from 'drizzle-orm/pg-core'; // prettier-ignore
import { beforeAll, expect, test } from 'vitest';
import { defineWatchers, table } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

const mood = pgEnum('mood', ['sad', 'happy']);
const upperCase = customType<{ data: string; driverData: string }>({
  dataType: () => 'text',
  fromDriver: (value) => value.toUpperCase(),
});
const posts = pgTable('posts', {
  postId: bigserial('post_id', { mode: 'bigint' }).primaryKey(),
  authorId: uuid('author_id'),
  big: bigint('big_value', { mode: 'number' }),
  price: numeric('price', { mode: 'number' }),
  exact: numeric('exact'),
  publishedAt: timestamp('published_at', { withTimezone: true }),
  localTime: timestamp('local_time', { precision: 3 }),
  textTime: timestamp('text_time', { mode: 'string' }),
  day: date('day', { mode: 'date' }),
  textDay: date('text_day'),
  clock: time('clock'),
  span: interval('span'),
  draft: boolean('draft'),
  meta: jsonb('meta').$type<{ a: number }>(),
  tags: text('tags').array(),
  times: timestamp('times').array(),
  mood: mood('mood'),
  shout: upperCase('shout'),
});
const stock = pgSchema('shop').table(
  'stock',
  { partId: text('part_id'), place: text('place'), amount: numeric('amount') },
  (t) => [primaryKey({ columns: [t.partId, t.place] })],
);

beforeAll(async () => {
  await db.sql(`create type mood as enum ('sad', 'happy')`);
  await db.sql(`create table posts (post_id bigserial primary key, author_id uuid, big_value int8, price numeric, exact numeric,
    published_at timestamptz, local_time timestamp(3), text_time timestamp, day date, text_day date, clock time, span interval,
    draft bool, meta jsonb, tags text[], times timestamp[], mood mood, shout text)`);
  await db.sql('create schema shop');
  await db.sql('create table shop.stock (part_id text, place text, amount numeric, primary key (part_id, place))');
});

test('every value of an event equals the one that Drizzle selects', async () => {
  const columns = ['authorId', 'big', 'price', 'exact', 'publishedAt', 'localTime', 'textTime', 'day', 'textDay', 'clock', 'span', 'draft', 'meta', 'tags', 'times', 'mood', 'shout'] as const; // prettier-ignore
  const watch = watchOf(defineWatchers()([[posts, 'inserted', { extraColumns: columns }]]));
  const events = recorder();
  watch.subscribe('posts:inserted', events);
  await watch.start();
  await db.sql(`insert into posts (author_id, big_value, price, exact, published_at, local_time, text_time, day, text_day, clock, span, draft, meta, tags, times, mood, shout)
    values ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 9007199254740991, 1.50, 1.50, '2026-11-22 10:00:00.123456+02', '2026-11-22 10:00:00.123', '2026-11-22 10:00:00',
            '2026-11-22', '2026-11-22', '24:00', '1 mon 2 days 03:04:05', true, '{"a": 1}', '{a,NULL,"b c"}', '{2026-11-22 10:00:00}', 'happy', 'quiet'), (${Array(17).fill('null').join()})`);
  await settled(db, watch);
  const client = await db.client();
  expect(events.all).toEqual(await drizzle(client).select().from(posts).orderBy(posts.postId));
});

test('subscriptions filter by property names, and table() names a key that the types do not show', async () => {
  const watch = watchOf(
    defineWatchers()([
      [posts, 'updated', { extraColumns: ['authorId'] }],
      [table(stock)({ primaryKey: ['partId', 'place'] }), 'updated'],
    ]),
  );
  const heard: unknown[] = [];
  watch.subscribe(
    'posts:updated',
    { authorId: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' },
    ({ postId }) => void heard.push(postId),
  );
  watch.subscribe('shop.stock:updated', { partId: 'p', place: 'b' }, (event) => void heard.push(event));
  await watch.start();
  await db.sql('delete from posts');
  const [post] = await db.sql(
    `insert into posts (author_id) values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11') returning post_id`,
  );
  await db.sql('update posts set draft = true');
  await db.sql(`insert into shop.stock values ('p', 'a', 1), ('p', 'b', 1)`);
  await db.sql('update shop.stock set amount = 2');
  await settled(db, watch);
  expect(heard).toEqual([BigInt(post!['post_id'] as string), { partId: 'p', place: 'b' }]);
  expect(watch.details('posts:updated').columnMap).toMatchObject({ authorId: 'author_id', postId: 'post_id' });
  expect(watch.details('posts:updated').primaryKey).toEqual(['postId']);
});
