/** EctoWatch's features, over a replication slot. */
import { expect, test } from 'vitest';
import { ConfigurationError, defineWatchers, table } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchers = watchOn(db);

test('an insert, an update and a delete each reach the subscribers of their type, with the id alone', async () => {
  const watch = watchers(
    defineWatchers([
      ['users', 'inserted'],
      ['users', 'updated'],
      ['users', 'deleted'],
    ]),
  );
  const inserted = recorder();
  const updated = recorder();
  const deleted = recorder();
  watch.subscribe('users:inserted', inserted);
  watch.subscribe('users:updated', updated);
  watch.subscribe('users:deleted', deleted);
  await watch.start();

  const [user] = await db.sql(`insert into users (name, email) values ('Ann', 'ann@example.com') returning id`);
  await db.sql(`update users set name = 'Anna' where id = $1`, [user!['id']]);
  await db.sql('delete from users where id = $1', [user!['id']]);
  await settled(db, watch);

  expect(inserted.all).toEqual([user]);
  expect(updated.all).toEqual([user]);
  expect(deleted.all).toEqual([user]);
});

test('the context tells where an event comes from', async () => {
  const watch = watchers(
    defineWatchers([
      ['users', 'inserted'],
      ['packages', 'inserted'],
    ]),
  );
  const handler = recorder();
  watch.subscribe('users:inserted', handler);
  watch.subscribe('packages:inserted', handler);
  await watch.start();
  const before = Date.now();
  const [row] = await db.sql<{ xid: number }>(
    `with p as (insert into packages (name) values ('a')), u as (insert into users (name) values ('b'), ('c'))
     select (pg_current_xact_id()::text::int8 % 4294967296)::int8::text::float8 as xid`,
  );
  await settled(db, watch);

  expect(handler.contexts.map(({ ordinal }) => ordinal)).toEqual([0, 1, 2]);
  for (const context of handler.contexts) {
    expect(context.schema).toBe('public');
    expect(context.type).toBe('inserted');
    expect(context.watcher).toBe(`${context.table}:inserted`);
    expect(context.eventId).toBe(`${context.commitLsn}/${context.ordinal}`);
    expect(context.commitLsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    expect(context.xid).toBe(row!.xid);
    expect(Math.abs(context.committedAt.getTime() - before)).toBeLessThan(60_000);
    expect(context.attempt).toBe(1);
    expect(context.signal.aborted).toBe(false);
    expect(context.previous).toEqual({});
    expect(context.absent).toEqual([]);
  }
});

test('extra columns are added, and no others', async () => {
  const watch = watchers(defineWatchers([['users', 'inserted', { extraColumns: ['role_id', 'name', 'bio'] }]]));
  const handler = recorder();
  watch.subscribe('users:inserted', handler);
  await watch.start();
  const [role] = await db.sql(`insert into roles (name) values ('admin') returning id`);
  const [user] = await db.sql(`insert into users (name, email, role_id) values ('Ben', 'b@x', $1) returning id`, [
    role!['id'],
  ]);
  await settled(db, watch);
  expect(handler.all).toEqual([{ id: user!['id'], role_id: role!['id'], name: 'Ben', bio: null }]);
});

test('a label with trigger columns gets only updates that change one of them', async () => {
  await db.sql('create table contacts (id int primary key, name text, email text, phone text)');
  await db.sql('alter table contacts replica identity full');
  const watch = watchers(
    defineWatchers([
      ['contacts', 'updated', { label: 'contact_changed', triggerColumns: ['email', 'phone'], extraColumns: ['name'] }],
      ['contacts', 'updated'],
    ]),
  );
  const changed = recorder();
  const updated = recorder();
  watch.subscribe('contact_changed', changed);
  watch.subscribe('contacts:updated', updated);
  await watch.start();
  await db.sql(`insert into contacts values (1, 'Cleo', 'c@x', null)`);
  await db.sql(`update contacts set name = 'Cleopatra'`);
  await db.sql(`update contacts set email = 'c@x'`); // named in SET, not changed
  await db.sql(`update contacts set email = 'cleo@x'`);
  await db.sql(`update contacts set phone = '1'`);
  await db.sql(`update contacts set phone = null`);
  await settled(db, watch);
  expect(changed.all).toEqual(Array(3).fill({ id: 1, name: 'Cleopatra' }));
  expect(changed.contexts[0]!.watcher).toBe('contact_changed');
  expect(updated.all).toHaveLength(5);
});

test('context.previous holds the old values of the event, if PostgreSQL sends them', async () => {
  await db.sql('create table full_rows (id int primary key, a text, b text)');
  await db.sql('alter table full_rows replica identity full');
  await db.sql('create table keyed_rows (id int primary key, a text)');
  const watch = watchers(
    defineWatchers([
      ['full_rows', 'updated', { extraColumns: ['a'] }],
      ['keyed_rows', 'updated', { extraColumns: ['a'] }],
    ]),
  );
  const full = recorder();
  const keyed = recorder();
  watch.subscribe('full_rows:updated', full);
  watch.subscribe('keyed_rows:updated', keyed);
  await watch.start();
  await db.sql(`insert into full_rows values (1, 'old', 'x')`);
  await db.sql(`update full_rows set a = 'new'`);
  await db.sql(`insert into keyed_rows values (1, 'old')`);
  await db.sql(`update keyed_rows set a = 'new'`);
  await db.sql(`update keyed_rows set id = 2`);
  await settled(db, watch);
  expect(full.contexts.map(({ previous }) => previous)).toEqual([{ id: 1, a: 'old' }]);
  expect(keyed.all).toEqual([
    { id: 1, a: 'new' },
    { id: 2, a: 'new' },
  ]);
  expect(keyed.contexts.map(({ previous }) => previous)).toEqual([{ id: 1 }, { id: 1 }]);
});

test('a truncate is one event of its table, and not one of other watchers', async () => {
  await db.sql('create table emptied (id int primary key)');
  const watch = watchers(
    defineWatchers([
      ['emptied', 'truncated'],
      ['emptied', 'deleted'],
    ]),
  );
  const truncated = recorder();
  const deleted = recorder();
  watch.subscribe('emptied:truncated', truncated);
  watch.subscribe('emptied:deleted', deleted);
  await watch.start();
  await db.sql('insert into emptied values (1), (2)');
  await db.sql('truncate emptied');
  await settled(db, watch);
  expect(truncated.all).toEqual([{}]);
  expect(deleted.all).toEqual([]);
});

test('composite keys, other schemas and unusual names can be watched', async () => {
  await db.sql('create schema erp');
  await db.sql('create table erp."Order Lines" (order_id int, line int, "QTY" int, primary key (order_id, line))');
  await db.sql('alter table erp."Order Lines" replica identity full');
  const lines = table<{ order_id: number; line: number; qty: number }>()({
    tableName: 'Order Lines',
    schema: 'erp',
    primaryKey: ['order_id', 'line'],
    columnMap: { qty: 'QTY' },
  });
  const watch = watchers(
    defineWatchers([
      [lines, 'updated', { label: 'line_changed', triggerColumns: ['qty'], extraColumns: ['qty'] }],
      [lines, 'deleted'],
      ['erp.Order Lines', 'inserted'],
    ]),
  );
  const changed = recorder();
  const one = recorder();
  const inserted = recorder();
  const deleted = recorder();
  watch.subscribe('line_changed', changed);
  watch.subscribe('line_changed', { order_id: 1, line: 2 }, one);
  watch.subscribe('erp.Order Lines:inserted', inserted);
  watch.subscribe('erp.Order Lines:deleted', deleted);
  await watch.start();
  await db.sql('insert into erp."Order Lines" values (1, 1, 10), (1, 2, 20)');
  await db.sql('update erp."Order Lines" set "QTY" = "QTY" + 1');
  await db.sql('delete from erp."Order Lines" where line = 1');
  await settled(db, watch);
  expect(inserted.all).toEqual([
    { order_id: 1, line: 1 },
    { order_id: 1, line: 2 },
  ]);
  expect(changed.all).toEqual([
    { order_id: 1, line: 1, qty: 11 },
    { order_id: 1, line: 2, qty: 21 },
  ]);
  expect(changed.contexts[0]!.previous).toEqual({ order_id: 1, line: 1, qty: 10 });
  expect(one.all).toEqual([{ order_id: 1, line: 2, qty: 21 }]);
  expect(deleted.all).toEqual([{ order_id: 1, line: 1 }]);
  expect(watch.details('line_changed').columnMap).toEqual({ qty: 'QTY' });
  expect(watch.details('line_changed').columns).toEqual(['order_id', 'line', 'qty']);
});

test('an empty list of watchers is allowed, and still moves the slot', async () => {
  const watch = watchers(defineWatchers([]));
  await watch.start();
  await db.sql(`insert into roles (name) values ('unwatched')`);
  await settled(db, watch);
  expect(watch.status().state).toBe('streaming');
});

test('details describe a watcher, and the database once it has started', async () => {
  const watch = watchers(
    defineWatchers([['users', 'updated', { label: 'users_changed', extraColumns: ['role_id'] }]]),
    { publication: 'p_details' },
  );
  const known = {
    watcher: 'users_changed', type: 'updated', schema: 'public', table: 'users', label: 'users_changed',
    extraColumns: ['role_id'], triggerColumns: [], columnMap: {}, slot: watch.status().slot, publication: 'p_details',
  }; // prettier-ignore
  expect(watch.details('users_changed')).toEqual({
    ...known,
    primaryKey: undefined,
    columns: undefined,
    replicaIdentity: undefined,
  });
  await watch.start();
  expect(watch.details('users_changed')).toEqual({
    ...known,
    primaryKey: ['id'],
    columns: ['id', 'name', 'email', 'phone', 'role_id', 'bio', 'updated_at'],
    replicaIdentity: 'default',
  });
  expect(() => watch.details('nobody' as never)).toThrow(ConfigurationError);
  await watch.stop();
  await db.sql('drop publication p_details');
});

test('changes by any client count: COPY, triggers, other sessions; those that were rolled back do not', async () => {
  const watch = watchers(defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]));
  const handler = recorder();
  watch.subscribe('users:inserted', handler);
  await watch.start();
  const client = await db.client();
  await client.query('begin');
  await client.query(`insert into users (name) values ('kept')`);
  await client.query('savepoint s');
  await client.query(`insert into users (name) values ('lost')`);
  await client.query('rollback to s');
  await client.query('commit');
  await client.query('begin');
  await client.query(`insert into users (name) values ('lost too')`);
  await client.query('rollback');
  await settled(db, watch);
  expect(handler.all).toMatchObject([{ name: 'kept' }]);
});
