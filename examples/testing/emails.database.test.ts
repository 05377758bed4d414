import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { createWatch } from 'walwatch';
import { keepEmails, watchers } from './emails.ts';

const connectionString = inject('databaseUrl');
const pool = new Pool({ connectionString });
// A temporary slot: each test file has its own, and PostgreSQL drops it at the end.
const watch = createWatch({ connection: connectionString, slot: { temporary: true }, watchers });
const emails = keepEmails(watch);

beforeAll(async () => {
  await pool.query('create table users (id int primary key, email text not null)');
  await watch.start();
});
beforeEach(async () => {
  await pool.query('delete from users');
  await watch.caughtUp();
});
afterAll(async () => {
  await watch.stop();
  await pool.query('drop table users');
  await pool.end();
});

test('the address of a new user is stored', async () => {
  await pool.query(`insert into users values (1, 'ada@example.org')`);
  await watch.caughtUp(); // everything that was committed so far has been handled
  expect(emails.get(1)).toBe('ada@example.org');
});

test('an updated address replaces the old one, and a deleted user has none', async () => {
  await pool.query(`insert into users values (1, 'ada@example.org'), (2, 'grace@example.org')`);
  await pool.query(`update users set email = 'lovelace@example.org' where id = 1`);
  await pool.query('delete from users where id = 2');
  await watch.caughtUp();
  expect([...emails]).toEqual([[1, 'lovelace@example.org']]);
});

test('a user that was rolled back is never stored', async () => {
  const client = await pool.connect();
  await client.query('begin');
  await client.query(`insert into users values (3, 'alan@example.org')`);
  await client.query('rollback');
  client.release();
  // This also works when no event arrives: the test needs no sleep.
  await watch.caughtUp();
  expect(emails.size).toBe(0);
});
