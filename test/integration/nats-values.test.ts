/** A remote watch receives the same events, values, filters and contexts as a handler in the worker. */
import fc from 'fast-check';
import { drizzle } from 'drizzle-orm/node-postgres';
import { bigint, bigserial, date, numeric, pgTable, timestamp, uuid, text } from 'drizzle-orm/pg-core';
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { pairOn, record } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';
import { workload } from '../support/workload.ts';

const db = useDatabase();
const nats = useNats();
const pair = pairOn(watchOn(db), nats);

const columns = ['a', 'b', 'big', 'note'];

test('every event is the same on both sides, in the same order over all watchers', async () => {
  await db.sql(`
    create domain amount as numeric(12, 2) check (value >= 0);
    create type state as enum ('new', 'done');
    create table plain (id int primary key, a int, b amount, big text, note state[]);
    create table composite (id int, a int, b jsonb, big text, note timestamptz, primary key (id, note));
    create table routed (id int primary key, a int, b text, big bytea, note int4range);
    create table parted (id int, a int, b text, big text, note interval, primary key (id)) partition by range (id);
    create table parted_low partition of parted for values from (minvalue) to (5);
    create table parted_high partition of parted for values from (5) to (maxvalue);
    alter table plain replica identity full;
    alter table routed replica identity full;
    alter table parted_low replica identity full;`);
  const tables = ['plain', 'composite', 'routed', 'parted'];
  const entries = tables.flatMap((name) => [
    [name, 'inserted', { extraColumns: columns }] as const,
    [name, 'updated', { extraColumns: columns }] as const,
    [name, 'deleted'] as const,
    [name, 'truncated'] as const,
  ]);
  const watchers = defineWatchers([
    ...entries,
    ['plain', 'updated', { label: 'b_changed', triggerColumns: ['b'], extraColumns: ['a'] }],
  ]);
  const { worker, remote, start } = await pair(watchers);
  const here: unknown[] = [];
  const there: unknown[] = [];
  for (const name of [
    ...tables.flatMap((one) => ['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${one}:${type}`)),
    'b_changed',
  ]) {
    worker.subscribe(name as never, record(here) as never);
    remote.subscribe(name as never, record(there) as never);
  }
  const filters = [3, { a: 5 }, { a: null }, { b: '1.50', id: 2 }, { big: '' }];
  for (const filter of filters) {
    worker.subscribe('plain:updated', filter as never, record(here));
    remote.subscribe('plain:updated', filter as never, record(there));
  }
  await start();
  const client = await db.client();
  const seed = Number(process.env['WALWATCH_SEED'] ?? Date.now() % 2 ** 31);
  for (const operation of fc.sample(workload(tables), { numRuns: 30, seed }).flat()) {
    for (const statement of operation.statements) await client.query(statement).catch(() => client.query('rollback'));
    await client.query('commit');
  }
  // In addition to the random changes: a changed key, and unchanged TOAST values, which PostgreSQL does not send.
  await client.query(`truncate plain, composite; insert into plain values (1, 5, 1.5, null, '{new}');
    update plain set id = 3; update plain set b = 2; delete from plain;
    alter table composite alter big set storage external;
    insert into composite values (1, 1, '{}', repeat('x', 9000), now()); update composite set a = 2`);
  await settled(db, worker);
  await until(() => there.length === here.length, { describe: () => `${here.length} events; so far ${there.length}` });
  expect(there, `seed ${seed}`).toEqual(here);
  expect(here.filter((one) => (one as { absent: string[] }).absent.length > 0).length).toBeGreaterThan(0);
});

test('values of a Drizzle table are mapped in the process of the handler', async () => {
  const posts = pgTable('posts', {
    postId: bigserial('post_id', { mode: 'bigint' }).primaryKey(),
    authorId: uuid('author_id'),
    price: numeric('price', { mode: 'number' }),
    publishedAt: timestamp('published_at', { withTimezone: true }),
    day: date('day', { mode: 'date' }),
  });
  await db.sql(
    'create table posts (post_id bigserial primary key, author_id uuid, price numeric, published_at timestamptz, day date)',
  );
  const { worker, remote, start } = await pair(
    defineWatchers()([[posts, 'inserted', { extraColumns: ['authorId', 'price', 'publishedAt', 'day'] }]]),
  );
  const events: unknown[] = [];
  const mine: unknown[] = [];
  remote.subscribe('posts:inserted', (event) => void events.push(event));
  remote.subscribe(
    'posts:inserted',
    { authorId: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' },
    ({ postId }) => void mine.push(postId),
  );
  await start();
  await db.sql(`insert into posts (author_id, price, published_at, day)
    values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1.50, '2026-11-22 10:00:00.123456+02', '2026-11-22'), (null, null, null, null)`);
  await settled(db, worker);
  await until(() => events.length === 2, { describe: 'two events' });
  expect(events).toEqual(
    await drizzle(await db.client())
      .select()
      .from(posts)
      .orderBy(posts.postId),
  );
  expect(mine).toEqual([1n]);
});

test('names in code may differ from names in the database, and a number matches a text key of digits', async () => {
  await db.sql(`create table cased (owner_id bigint primary key, head_line text);
    create table user_accounts (id bigint primary key, role_id bigint)`);
  const cased = pgTable('cased', { ownerId: bigint({ mode: 'bigint' }).primaryKey(), headLine: text() });
  const watchers = defineWatchers<{ userAccounts: { id: string; roleId: string } }>()(
    [
      [cased, 'updated', { extraColumns: ['headLine'] }],
      [cased, 'truncated'],
      ['userAccounts', 'updated', { extraColumns: ['roleId'] }],
    ],
    { naming: 'camelCase' },
  );
  const { worker, remote, start } = await pair(watchers);
  const heard: unknown[] = [];
  const hear = (event: unknown) => void heard.push(event);
  remote.subscribe('cased:updated', { headLine: 'new' }, hear);
  remote.subscribe('cased:updated', 1n, hear);
  remote.subscribe('cased:truncated', hear);
  remote.subscribe('userAccounts:updated', 42, hear);
  remote.subscribe('userAccounts:updated', { roleId: 7n }, hear);
  await start();
  await db.sql(`insert into cased values (1, 'old'), (2, 'old'); insert into user_accounts values (42, 6), (43, 6)`);
  await db.sql(`update cased set head_line = 'new' where owner_id = 1`);
  await db.sql('truncate cased');
  await db.sql('update user_accounts set role_id = 7 where id = 42');
  await settled(db, worker);
  await until(() => heard.length >= 5, { describe: () => `five events; so far ${heard.length}` });
  const [updated, account] = [
    { ownerId: 1n, headLine: 'new' },
    { id: '42', roleId: '7' },
  ];
  expect(heard).toEqual([updated, updated, {}, account, account]);
});
