/** What another process hears is what a handler in the worker hears: the same events, values, filters and contexts. */
import fc from 'fast-check';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { drizzle } from 'drizzle-orm/node-postgres';
import { bigint, bigserial, date, numeric, pgTable, timestamp, uuid, text } from 'drizzle-orm/pg-core';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ConfigurationError, defineWatchers, table, type WatchError } from '../../src/index.ts';
import { createRemoteWatch, relay } from '../../src/nats/index.ts';
import { slotSubject } from '../../src/nats/subjects.ts';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { deleteLater, record, remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { workload } from '../support/workload.ts';

const db = useDatabase();
const nats = useNats();
const watchOf = watchOn(db);

/** A worker that relays, and a watch elsewhere; both are started by `start`. */
async function pair<W extends Parameters<typeof watchOf>[0]>(watchers: W) {
  const stream = slotName();
  const worker = watchOf(watchers, { slot: stream });
  const connection = await nats.connect();
  deleteLater(connection, stream);
  relay(worker, { connection, stream });
  const warnings: WatchError[] = [];
  const remote = remoteOf({ connection: await nats.connect(), stream, watchers }, warnings);
  const start = async () => {
    await worker.start();
    await remote.start();
  };
  return { worker, remote, stream, connection, warnings, start };
}

const columns = ['a', 'b', 'big', 'note'];

test('every event is the same on both sides, in the same order over all watchers', { timeout: 60_000 }, async () => {
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
  // Whatever came up at random: a changed key, and unchanged TOAST that PostgreSQL does not send.
  await client.query(`truncate plain, composite; insert into plain values (1, 5, 1.5, null, '{new}');
    update plain set id = 3; update plain set b = 2; delete from plain;
    alter table composite alter big set storage external;
    insert into composite values (1, 1, '{}', repeat('x', 9000), now()); update composite set a = 2`);
  await settled(db, worker);
  await until(() => there.length === here.length, { describe: () => `${here.length} events; so far ${there.length}` });
  expect(there, `seed ${seed}`).toEqual(here);
  expect(here.filter((one) => (one as { absent: string[] }).absent.length > 0).length).toBeGreaterThan(0);
});

test('values of a Drizzle table are mapped where the handler runs', async () => {
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

test('names in code that the database writes otherwise, and a number for a key of digits', async () => {
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

test('any key makes a subject of its own, and is heard by who subscribes to it', async () => {
  const keys = [
    '42',
    '',
    ' ',
    '.',
    'a.b',
    '*',
    '>',
    '=',
    '=-',
    '==',
    '$JS',
    'Ü',
    '😀',
    "it's\n",
    '\\',
    'x'.repeat(2000),
    'x'.repeat(2001),
  ];
  await db.sql('create table "Odd. *>" ("The Key" text primary key, n int)');
  const odd = table<{ key: string; n: number }>()({
    tableName: 'Odd. *>',
    primaryKey: 'key',
    columnMap: { key: 'The Key' },
  });
  const { worker, remote, stream, connection, start } = await pair(defineWatchers()([[odd, 'updated']]));
  const heard: string[] = [];
  for (const key of keys) remote.subscribe('Odd. *>:updated', key, (event) => void heard.push(event.key));
  await start();
  await db.sql('insert into "Odd. *>" select key, 0 from unnest($1::text[]) key', [keys]);
  for (const key of keys) await db.sql('update "Odd. *>" set n = 1 where "The Key" = $1', [key]);
  await settled(db, worker);
  await until(() => heard.length >= keys.length, { describe: () => `all keys; so far ${JSON.stringify(heard)}` });
  expect(heard).toEqual(keys);
  const { state } = await (await jetstreamManager(connection)).streams.info(stream, { subjects_filter: '>' });
  expect(Object.values(state.subjects!)).toEqual(keys.map(() => 1));
});

test('a record whose key changes is heard under both, once by each subscription, and lies under both subjects', async () => {
  await db.sql('create table moved (id int primary key)');
  const { worker, remote, stream, connection, start } = await pair(
    defineWatchers<{ moved: { id: number } }>()([['moved', 'updated']]),
  );
  const heard: string[] = [];
  remote.subscribe('moved:updated', (event) => void heard.push(`all ${String(event['id'])}`));
  remote.subscribe(
    'moved:updated',
    1,
    (event, { previous }) => void heard.push(`1: ${String(previous['id'])} → ${String(event['id'])}`),
  );
  remote.subscribe(
    'moved:updated',
    2,
    (event, { previous }) => void heard.push(`2: ${String(previous['id'])} → ${String(event['id'])}`),
  );
  await start();
  await db.sql('insert into moved values (1)');
  await db.sql('update moved set id = 2');
  await db.sql('update moved set id = 3');
  await settled(db, worker);
  await until(() => heard.includes('all 3'), { describe: 'both updates' });
  expect(heard).toEqual(['all 2', '2: 1 → 2', '1: 1 → 2', 'all 3', '2: 2 → 3']);
  const { state } = await (await jetstreamManager(connection)).streams.info(stream, { subjects_filter: '>' });
  const subject = (id: number) => `walwatch.${stream}.moved:updated.${id}`;
  expect(state.subjects).toEqual({ [subject(1)]: 1, [subject(2)]: 2, [subject(3)]: 1 });
});

test('a message has the position, the values as texts and an id that JetStream recognises', async () => {
  await db.sql('create table plainly (id int primary key, note text)');
  const plainly = defineWatchers([['plainly', 'inserted', { extraColumns: ['note'] }]]);
  const { worker, stream, connection, start } = await pair(plainly);
  await start();
  await db.sql(`insert into plainly values (7, null)`);
  await settled(db, worker);
  const manager = await jetstreamManager(connection);
  const message = await manager.streams.getMessage(stream, { seq: 1 });
  const [{ system_identifier: system } = {}] = await db.sql('select system_identifier::text from pg_control_system()');
  const payload = message!.json<{ eventId: string; committedAt: string }>();
  expect(payload).toMatchObject({
    version: 1, watcher: 'plainly:inserted', type: 'inserted', schema: 'public', table: 'plainly', primaryKey: ['id'],
    types: { id: 23, note: 25 }, event: { id: '7', note: null }, ordinal: 0,
  }); // prettier-ignore
  expect(message!.header.get('Nats-Msg-Id')).toBe(
    `${system}:${stream}:${Date.parse(payload.committedAt).toString(36)}:${payload.eventId}:${message!.subject}`,
  );
  expect(message!.subject).toBe(`walwatch.${stream}.plainly:inserted.7`);
  const { config } = await manager.streams.info(stream);
  expect(config).toMatchObject({
    subjects: [slotSubject(stream)], retention: 'limits', storage: 'file', discard: 'new', num_replicas: 1,
    max_age: 7 * 24 * 3600 * 1e9, duplicate_window: 120e9,
  }); // prettier-ignore
});

test('thousands of id subscriptions share one consumer, and each hears its own record', async () => {
  await db.sql('create table many (id int primary key, n int)');
  const { worker, remote, stream, connection, start } = await pair(
    defineWatchers<{ many: { id: number } }>()([['many', 'updated']]),
  );
  const heard: number[] = [];
  for (let id = 1; id <= 5000; id++) remote.subscribe('many:updated', id, () => void heard.push(id));
  await start();
  expect(await (await jetstreamManager(connection)).consumers.list(stream).next()).toHaveLength(1);
  await db.sql('insert into many select n, 0 from generate_series(1, 6000) n');
  await db.sql('update many set n = 1 where id % 1000 = 0');
  await settled(db, worker);
  await until(() => heard.length >= 5, { describe: 'five events' });
  expect(heard.toSorted((one, other) => one - other)).toEqual([1000, 2000, 3000, 4000, 5000]);
  expect(remote.status()).toMatchObject({ state: 'streaming', subscriptions: 5000, running: 0, error: undefined });
});

test('details tell what watchers and events say; unsubscribe, events() and stop() are as in the worker', async () => {
  await db.sql('create table told (the_key int primary key, role int)');
  const watchers = defineWatchers([['told', 'inserted', { extraColumns: ['role'] }]]);
  const { remote, start } = await pair(watchers);
  expect(remote.details('told:inserted').primaryKey).toBeUndefined();
  await start();
  const heard: unknown[] = [];
  const handler = (event: unknown) => void heard.push(event);
  remote.subscribe('told:inserted', handler);
  await db.sql('insert into told values (1, 7)');
  await until(() => heard.length === 1, { describe: 'the first event' });
  const changes = remote.events('told:inserted', { role: 8 });
  await db.sql('insert into told values (2, 7), (3, 8)');
  const { value } = await changes.next();
  expect(value).toMatchObject({ watcher: 'told:inserted', event: { the_key: 3, role: 8 } });
  await changes.return?.();
  expect(heard).toEqual([{ the_key: 1, role: 7 }, { the_key: 2, role: 7 }, { the_key: 3, role: 8 }]); // prettier-ignore
  expect(remote.unsubscribe('told:inserted', handler)).toBe(true);
  expect(remote.unsubscribe('told:inserted', handler)).toBe(false);
  expect(remote.details('told:inserted')).toMatchObject({
    watcher: 'told:inserted', schema: 'public', table: 'told', primaryKey: ['the_key'], extraColumns: ['role'],
    columns: undefined, replicaIdentity: undefined, slot: undefined, publication: undefined,
  }); // prettier-ignore
  await remote.stop();
  await expect(remote.closed).resolves.toBeUndefined();
  expect(() => remote.subscribe('told:inserted', handler)).toThrow(expect.objectContaining({ code: 'STOPPED' }));
});

test('live only: a failed event is reported and passed over', async () => {
  await db.sql('create table failing (id int primary key)');
  const { remote, start } = await pair(defineWatchers([['failing', 'inserted']]));
  const failures: unknown[] = [];
  const heard: unknown[] = [];
  remote.on('handlerFailed', ({ error, action, attempt }) => failures.push({ error, action, attempt }));
  remote.subscribe('failing:inserted', ({ id }) => {
    heard.push(id);
    if (id === 1) throw new Error('no');
  });
  await start();
  await db.sql('insert into failing values (1), (2)');
  await until(() => heard.length === 2, { describe: 'two events' });
  expect(failures).toEqual([{ error: new Error('no'), action: 'skip', attempt: 1 }]);
});

test('a watch that starts before the worker waits for the stream, and hears all from then on', async () => {
  await db.sql('create table early (id int primary key)');
  const { worker, remote } = await pair(defineWatchers([['early', 'inserted']]));
  const heard: unknown[] = [];
  remote.subscribe('early:inserted', ({ id }) => void heard.push(id));
  const started = remote.start();
  await until(() => remote.status().state === 'disconnected', { describe: 'the first attempt to fail' });
  expect(remote.status().error?.message).toMatch(/there is no stream/);
  await worker.start();
  await started;
  await db.sql('insert into early values (1)');
  await until(() => heard.length === 1, { describe: 'the event' });
});

test('what is no event of ours is warned of and passed over', async () => {
  await db.sql('create table clean (id int primary key)');
  const { remote, stream, connection, warnings, start } = await pair(defineWatchers([['clean', 'inserted']]));
  const heard: unknown[] = [];
  remote.subscribe('clean:inserted', ({ id }) => void heard.push(id));
  await start();
  await jetstream(connection).publish(`walwatch.${stream}.clean:inserted.x`, 'hello');
  await db.sql('insert into clean values (1)');
  await until(() => heard.length === 1, { describe: 'the event behind it' });
  expect(warnings.map(({ code }) => code)).toEqual(['PROTOCOL']);
});

test('a stream that carries no slot, and filters that the key does not allow, end the watch with what to do', async () => {
  const connection = await nats.connect();
  const name = slotName();
  deleteLater(connection, name);
  await (await jetstreamManager(connection)).streams.add({ name, subjects: [`${name}.>`] });
  const watchers = defineWatchers([['clean', 'updated']]);
  const lost = remoteOf({ connection, stream: name, watchers });
  await expect(lost.start()).rejects.toThrow(/does not carry the events of a slot/);

  await db.sql('create table paired (a int, b int, primary key (a, b))');
  const { worker, remote, start } = await pair(defineWatchers([['paired', 'updated']]));
  remote.subscribe('paired:updated', 1, () => {});
  await start();
  await db.sql('insert into paired values (1, 1)');
  await db.sql('update paired set b = 2');
  await settled(db, worker);
  await expect(remote.closed).rejects.toThrow(/the primary key has 2 columns/);
});

test('relay() of another copy of the package takes a watch of this one', async () => {
  await db.sql('create table copied (id int primary key)');
  const watchers = defineWatchers([['copied', 'inserted']]);
  const stream = slotName();
  const worker = watchOf(watchers, { slot: stream });
  const connection = await nats.connect();
  deleteLater(connection, stream);
  vi.resetModules();
  const other = await import('../../src/nats/index.ts');
  expect(other.relay).not.toBe(relay);
  other.relay(worker, { connection, stream });
  await worker.start();
  await db.sql('insert into copied values (1)');
  await settled(db, worker);
  const { state } = await (await jetstreamManager(connection)).streams.info(stream);
  expect(state.messages).toBe(1);
});

test('wrong options are refused, all at once', async () => {
  const watchers = defineWatchers([['users', 'inserted']]);
  const wrong = { connection: {}, stream: 'a b', watchers, durable: 'x.y', colour: 'red' } as never;
  expect(() => createRemoteWatch(wrong)).toThrow(
    expect.objectContaining({ issues: expect.objectContaining({ length: 4 }) as unknown }),
  );
  const worker = watchOf(watchers);
  expect(() => relay(worker, { connection: {}, stream: '' })).toThrow(ConfigurationError);
  expect(() => relay({} as never, { connection: {}, stream: '' })).toThrow(/createWatch/);
  const remote = remoteOf({ connection: await nats.connect(), stream: 'none', watchers });
  onTestFinished(() => remote.stop());
  expect(() => remote.subscribe('users:inserted', () => {}, { transaction: true })).toThrow(/createWatch/);
});
