import { expect, inject, test } from 'vitest';
import { createDatabase, useDatabase } from '../support/database.ts';
import { leftInDatabase } from '../support/leftovers.ts';

const database = useDatabase();

test('the server decodes changes', async () => {
  expect(await database.sql('show wal_level')).toEqual([{ wal_level: 'logical' }]);
  expect(inject('server').version).toBeGreaterThanOrEqual(14);
});

test('a database is a clone of the template', async () => {
  await database.sql('insert into users (name) values ($1)', ['Ada']);
  expect(await database.sql('select id, name, role_id from users')).toEqual([{ id: 1, name: 'Ada', role_id: null }]);

  await using other = await createDatabase(inject('server').url);
  expect(await other.sql('select id from users')).toEqual([]);
});

test('slots and sessions that are left behind are reported', async () => {
  const client = await database.client();
  await client.query(`select pg_create_logical_replication_slot('forgotten', 'pgoutput')`);
  const session = await database.client({ application_name: 'sleeper' });
  const left = await leftInDatabase(client);
  expect(left).toEqual(
    expect.arrayContaining(['the replication slot "forgotten"', expect.stringContaining('"sleeper", idle')]),
  );

  await session.end();
  await database.dropSlot('forgotten');
});

test('a database with a slot is dropped with it, with a message', async () => {
  const other = await createDatabase(inject('server').url, 50);
  await other.sql(`select pg_create_logical_replication_slot('forgotten', 'pgoutput')`);
  await expect(other[Symbol.asyncDispose]()).rejects.toThrow('the replication slot "forgotten"');
  expect(await database.sql('select from pg_database where datname = $1', [other.name])).toEqual([]);
});
