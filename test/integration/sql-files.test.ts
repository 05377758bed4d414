/** The SQL files for a DBA, in the order that the files give. */
import { readdir, readFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import type { QueryResult } from 'pg';
import { afterAll, expect, inject, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { deferred, until } from '../support/until.ts';

const database = useDatabase();

// Roles and slots belong to the whole server, which other runs may use at the same time.
const suffix = randomBytes(4).toString('hex');
const role = `walwatch_${suffix}`;
const slot = `accounts_worker_${suffix}`;
const password = randomBytes(12).toString('hex');

const folder = new URL('../../sql/', import.meta.url);
const inOrder = ['role.sql', 'replica-identity.sql', 'publication.sql', 'slot.sql', 'lag.sql', 'teardown.sql'];

/** Replaces the names, as the header of each file tells. Returns the result of the last query. */
async function run(file: string): Promise<QueryResult> {
  const text = await readFile(new URL(file, folder), 'utf8');
  const named = text
    .replaceAll(/\baccounts_worker\b/g, slot)
    .replaceAll(/\bwalwatch\b/g, role)
    .replaceAll(/\baccounts\b/g, database.name);
  const results = await inSession(database.url, (client) => client.query(named));
  // pg returns an array for several statements, contrary to its types.
  const queries = [results as QueryResult | QueryResult[]].flat().filter(({ fields }) => fields.length > 0);
  return queries.at(-1)!;
}

const urlOfRole = () => {
  const url = new URL(database.url);
  url.username = role;
  url.password = password;
  return url.href;
};

const watchers = defineWatchers<{ users: { id: number; email: string | null; role_id: number | null } }>()([
  ['users', 'inserted', { extraColumns: ['role_id'] }],
  ['users', 'updated', { label: 'contact_changed', triggerColumns: ['email'] }],
  ['users', 'deleted', { extraColumns: ['role_id'] }],
]);

const watchAsRole = () => createWatch({ connection: urlOfRole(), slot, watchers, manage: 'verify' });

afterAll(() =>
  // Also when a test has failed halfway.
  inSession(inject('server').url, async (client) => {
    const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role]);
    if (rowCount === 0) return;
    await inSession(database.url, (session) => session.query(`drop owned by ${role}`));
    await client.query(`drop role ${role}`);
  }),
);

test('every file is run here, and is short enough to be reviewed', async () => {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql'));
  expect(files.toSorted()).toEqual(inOrder.toSorted());
  for (const file of files) {
    const text = await readFile(new URL(file, folder), 'utf8');
    expect(text.split('\n').length, file).toBeLessThan(60);
  }
});

test('each file but the teardown may be run twice', async () => {
  // Privileges that PostgreSQL grants to everybody must not be needed.
  await database.sql(`revoke all on database "${database.name}" from public`);
  for (const file of inOrder.slice(0, -1)) {
    await run(file);
    await run(file);
  }
  await database.sql(`alter role ${role} password '${password}'`);
  const [rights] = await database.sql(
    'select rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication, rolcanlogin from pg_roles where rolname = $1',
    [role],
  );
  expect(rights).toEqual({
    rolsuper: false,
    rolcreatedb: false,
    rolcreaterole: false,
    rolbypassrls: false,
    rolreplication: true,
    rolcanlogin: true,
  });
});

test('a watch of the least-privileged role receives events and leaves everything as the DBA made it', async () => {
  const comment = () =>
    database.sql(`select obj_description(oid, 'pg_publication') as comment from pg_publication where pubname = $1`, [
      slot,
    ]);
  const received: string[] = [];
  const last = deferred();
  await using watch = watchAsRole();
  watch.subscribe('users:inserted', ({ id, role_id }) => received.push(`inserted ${id} ${role_id}`));
  watch.subscribe('contact_changed', ({ id }) => received.push(`contact_changed ${id}`));
  watch.subscribe('users:deleted', ({ id, role_id }) => {
    received.push(`deleted ${id} ${role_id}`);
    last.resolve();
  });
  await watch.start();
  await database.sql(`insert into users (name, email) values ('Ada', 'ada@example.org')`);
  await database.sql(`update users set name = 'Ada Lovelace', email = email`);
  await database.sql(`update users set email = 'lovelace@example.org'`);
  await database.sql('delete from users');
  await last.promise;
  expect(received).toEqual(['inserted 1 null', 'contact_changed 1', 'deleted 1 null']);

  const [lag] = (await run('lag.sql')).rows;
  expect(lag).toMatchObject({ slot_name: slot, active_pid: expect.any(Number), wal_status: 'reserved' });
  expect(await comment()).toEqual([{ comment: null }]);
});

test('lag.sql shows the lag of a worker that does not run', async () => {
  const lag = async () => (await run('lag.sql')).rows[0];
  await until(async () => (await lag()).active_pid === null, { describe: 'the slot to be inactive' });
  const before = await lag();
  await database.sql(`insert into packages (name) select repeat('x', 1000) from generate_series(1, 100)`);
  const after = await lag();
  expect(after.confirmed_flush_lsn).toBe(before.confirmed_flush_lsn);
  expect(Number(after.lag_bytes) - Number(before.lag_bytes)).toBeGreaterThan(100_000);
  expect(Number(after.retained_bytes)).toBeGreaterThanOrEqual(Number(after.lag_bytes));
});

test('the role has no other rights: it cannot read a table that was not granted or create a publication', async () => {
  await inSession(urlOfRole(), async (client) => {
    await client.query('select from users');
    await expect(client.query('select from roles')).rejects.toThrow('permission denied');
    await expect(client.query('create publication own for table users')).rejects.toThrow('permission denied');
  });
});

test('teardown.sql removes nothing while a worker runs', async () => {
  await using watch = watchAsRole();
  await watch.start();
  await expect(run('teardown.sql')).rejects.toThrow('is active');
  expect(await database.sql('select pubname::text from pg_publication')).toEqual([{ pubname: slot }]);
});

test('teardown.sql removes everything, and may be run twice', async () => {
  await until(async () => (await run('lag.sql')).rows[0].active_pid === null, { describe: 'the slot to be inactive' });
  await run('teardown.sql');
  await run('teardown.sql');
  const left = await database.sql(
    `select pubname::text as left from pg_publication
     union all select slot_name::text from pg_replication_slots where database = current_database()
     union all select rolname::text from pg_roles where rolname = $1`,
    [role],
  );
  expect(left).toEqual([]);
});
