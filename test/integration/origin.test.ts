/** Replicated changes carry an origin: `origin: 'none'` leaves them out. */
import { readFileSync } from 'node:fs';
import { expect, inject, onTestFinished, test } from 'vitest';
import { ConfigurationError, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder, recorderOn } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]);

/** A session whose writes count as replicated from elsewhere, like those of a subscription. */
async function replicatingSession() {
  const origin = `elsewhere_${process.pid}`; // of the whole server
  const client = await db.client();
  await client.query('select pg_replication_origin_create($1)', [origin]);
  await client.query('select pg_replication_origin_session_setup($1)', [origin]);
  onTestFinished(async () => {
    await client.query('select pg_replication_origin_session_reset()');
    await client.query('select pg_replication_origin_drop($1)', [origin]);
  });
  return client;
}

test("'none' leaves out replicated changes, 'any' delivers them, and both move past them", async ({ skip }) => {
  if (inject('server').version < 16) skip("origin: 'none' came with PostgreSQL 16");
  const [local, all, byDefault] = [{ origin: 'none' } as const, { origin: 'any' } as const, {}].map((options) => {
    const watch = watchOf(watchers, options);
    const names = recorder(({ name }: { readonly name?: unknown }) => name);
    watch.subscribe('users:inserted', names);
    return { watch, names };
  });
  for (const { watch } of [local!, all!, byDefault!]) await watch.start();
  const replicating = await replicatingSession();
  await db.sql(`insert into users (name) values ('here')`);
  await replicating.query(`insert into users (name) values ('elsewhere')`);
  // A transaction with a known position at the origin.
  await replicating.query(`begin; select pg_replication_origin_xact_setup('0/100', now());
    insert into users (name) values ('elsewhere too'); commit`);
  await db.sql(`insert into users (name) values ('here again')`);
  for (const { watch } of [local!, all!, byDefault!]) await settled(db, watch);
  expect(local!.names.all).toEqual(['here', 'here again']);
  expect(all!.names.all).toEqual(['here', 'elsewhere', 'elsewhere too', 'here again']);
  expect(byDefault!.names.all).toEqual(all!.names.all);
});

/** The SQL of a page that silences a session, under a name of this test only: origins belong to the whole server. */
async function quietly(): Promise<void> {
  const origin = `quiet_${process.pid}`;
  const page = readFileSync('docs/migrate/ectowatch.md', 'utf8');
  const [, sql] = /```sql\n(SELECT pg_replication_origin_create[^]*?)```/.exec(page)!;
  const session = await db.client();
  for (const statement of sql!.replaceAll("'quiet'", `'${origin}'`).split(/;.*\n/).filter(Boolean))
    await session.query(statement);
  await session.query('select pg_replication_origin_drop($1)', [origin]);
}

test('the SQL in docs/migrate/ectowatch.md silences a session, and session_replication_role does not', async ({
  skip,
}) => {
  if (inject('server').version < 16) skip("origin: 'none' came with PostgreSQL 16");
  await db.sql(`insert into users (id, name, email) values (100, 'Ada', 'Ada@example.org')`);
  const watch = watchOf(defineWatchers([['users', 'updated', { extraColumns: ['email'] }]]), { origin: 'none' });
  const updated = recorderOn(watch, 'users:updated');
  await watch.start();
  await quietly(); // an update of all rows
  await db.sql(
    `begin; set local session_replication_role = replica; update users set email = 'published' where id = 100; commit`,
  );
  await settled(db, watch);
  expect(updated.all).toEqual([{ id: 100, email: 'published' }]);
  expect(await db.sql('select from users where email <> lower(email)')).toEqual([]);
});

test("before PostgreSQL 16 'none' is refused", async ({ skip }) => {
  if (inject('server').version >= 16) skip('the server has it');
  const watch = watchOf(watchers, { origin: 'none' });
  const started = watch.start();
  await expect(started).rejects.toThrow(ConfigurationError);
  await expect(started).rejects.toThrow(/origin: 'none' needs PostgreSQL 16/);
  await expect(watch.closed).rejects.toThrow(ConfigurationError);
});

test('by default replicated changes arrive on every version', async () => {
  const watch = watchOf(watchers);
  const inserted = recorderOn(watch, 'users:inserted');
  await watch.start();
  const replicating = await replicatingSession();
  await replicating.query(`insert into users (name) values ('elsewhere')`);
  await settled(db, watch);
  expect(inserted.all).toMatchObject([{ name: 'elsewhere' }]);
});
