/** pg_logical_emit_message: an outbox without a table. */
import { expect, test } from 'vitest';
import { defineWatchers, type DeliveryContext } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { isAcknowledged, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const users = defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]);

test('transactional messages arrive in order with the changes, and only those with exactly this prefix', async () => {
  const watch = watchOf(users);
  const heard: string[] = [];
  const contexts: DeliveryContext[] = [];
  watch.subscribe('users:inserted', ({ name }) => void heard.push(`user ${String(name)}`));
  watch.onMessage('outbox', ({ prefix, content, transactional }, context) => {
    heard.push(`${prefix} ${content.toString()} ${transactional}`);
    contexts.push(context);
  });
  await watch.start();
  const client = await db.client();
  await client.query('begin');
  await client.query(`select pg_logical_emit_message(true, 'outbox', 'one')`);
  await client.query(`insert into users (name) values ('a')`);
  await client.query(
    `select pg_logical_emit_message(true, 'outbox', 'two'), pg_logical_emit_message(true, 'outbox.other', 'x')`,
  );
  await client.query(`insert into users (name) values ('b')`);
  await client.query(`select pg_logical_emit_message(true, 'outbox', '')`);
  await client.query('commit');
  await client.query('begin');
  await client.query(`select pg_logical_emit_message(true, 'outbox', 'rolled back')`);
  await client.query('rollback');
  await settled(db, watch);
  expect(heard).toEqual(['outbox one true', 'user a', 'outbox two true', 'user b', 'outbox  true']);
  const [first] = contexts;
  expect(contexts.map(({ eventId }) => eventId)).toEqual([0, 1, 3].map((number) => `${first!.commitLsn}/m${number}`));
  expect(first!.xid).toBeGreaterThan(0);
});

test('a message outside of transactions has its own position, and arrives although its transaction was rolled back', async () => {
  const watch = watchOf(users);
  const heard: [string, DeliveryContext][] = [];
  watch.onMessage('ping', ({ content, transactional }, context) => {
    expect(transactional).toBe(false);
    heard.push([content.toString(), context]);
  });
  await watch.start();
  const client = await db.client();
  await client.query('begin');
  const { rows } = await client.query<{ lsn: string }>(
    `select pg_logical_emit_message(false, 'ping', 'ü')::text as lsn`,
  );
  await client.query('rollback');
  await settled(db, watch);
  expect(heard).toEqual([
    ['ü', expect.objectContaining({ xid: 0, attempt: 1, eventId: expect.stringMatching(/\/n0$/) })],
  ]);
  expect(heard[0]![1].commitLsn).toBe(rows[0]!.lsn); // both are the end of the record
});

test('a message holds the slot until its handler is done, and is delivered again under the same id', async () => {
  const slot = slotName();
  const ids: string[] = [];
  const first = watchOf(users, { slot, stopTimeout: 10 });
  first.onMessage('job', (_, { eventId }) => {
    ids.push(eventId);
    return new Promise(() => {}); // never done
  });
  await first.start();
  // Adjacent records: each acknowledgement must be exact, or the next message is lost.
  await db.sql(`select pg_logical_emit_message(false, 'done', '1'), pg_logical_emit_message(false, 'job', '2')`);
  await db.sql(`select pg_logical_emit_message(true, 'job', '3')`);
  await until(() => ids.length === 1, { describe: 'the first message' });
  expect(isAcknowledged(first, ids[0]!)).toBe(false);
  await first.stop();

  const second = watchOf(users, { slot });
  second.onMessage('job', (_, { eventId }) => void ids.push(eventId));
  await second.start();
  await settled(db, second);
  expect(ids).toHaveLength(3);
  expect(ids[1]).toBe(ids[0]);
});

test('a subscription to messages ends, and counts, like any other', async () => {
  const watch = watchOf(users);
  const subscription = watch.onMessage('x', () => {}, { name: 'mine' });
  expect(subscription.name).toBe('mine');
  expect(watch.status().subscriptions).toBe(1);
  subscription.unsubscribe();
  expect(watch.status().subscriptions).toBe(0);
  expect(() => watch.onMessage('x', 'no handler' as never)).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  expect(() => watch.onMessage('x', () => {}, { concurrency: 2 } as never)).toThrow(
    expect.objectContaining({ code: 'CONFIGURATION' }),
  );
  await watch.stop();
  expect(() => watch.onMessage('x', () => {})).toThrow(expect.objectContaining({ code: 'STOPPED' }));
});

test('a message outside of transactions and an adjacent commit have different ids', async () => {
  const watch = watchOf(users);
  const ids: string[] = [];
  watch.onMessage('p', ({ content }, { eventId }) => void ids.push(`${content.toString()} ${eventId}`));
  await watch.start();
  const client = await db.client();
  // Both messages are written right before the commit record: the end of the second is where that begins.
  await client.query('begin');
  await client.query(`select pg_logical_emit_message(true, 'p', 'a')`);
  await client.query(`select pg_logical_emit_message(false, 'p', 'b')`);
  await client.query('commit');
  await settled(db, watch);
  expect(ids.map((id) => id.split(' ')[0])).toEqual(['b', 'a']);
  expect(new Set(ids.map((id) => id.split(' ')[1])).size).toBe(2);
});

test('the first subscription that is made while streaming gets later messages, and no change is delivered twice', async () => {
  const watch = watchOf(users);
  const changes: unknown[] = [];
  watch.subscribe('users:inserted', ({ id }) => void changes.push(id));
  await watch.start();
  const insert = async () => (await db.sql(`insert into users (name) values ('x') returning id`))[0]!['id'];
  const written = [await insert()];
  const heard: string[] = [];
  watch.onMessage('late', ({ content }) => void heard.push(content.toString()));
  await db.sql(`select pg_logical_emit_message(true, 'late', 'one')`);
  written.push(await insert());
  await db.sql(`select pg_logical_emit_message(false, 'late', 'two')`);
  await until(() => heard.length === 2 && changes.length === 2, { describe: () => JSON.stringify([heard, changes]) });
  expect([heard, changes]).toEqual([['one', 'two'], written]);
});
