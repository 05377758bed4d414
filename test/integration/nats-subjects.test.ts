/** The messages of a relay: their subjects, ids and payloads. */
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { defineWatchers, table } from '../../src/index.ts';
import { slotSubject } from '../../src/nats/subjects.ts';
import { useDatabase } from '../support/database.ts';
import { useNats } from '../support/nats.ts';
import { pairOn } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const nats = useNats();
const pair = pairOn(watchOn(db), nats);

test('every key has its own subject, and a subscription to the key receives its events', async () => {
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

test('when a key changes, subscriptions to the old and the new key each receive the event once, and both subjects have it', async () => {
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

test('a message contains the position, the values as text and an id that JetStream uses for deduplication', async () => {
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

test('thousands of id subscriptions share one consumer, and each receives the events of its record', async () => {
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
