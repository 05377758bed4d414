/** The role of sql/role.sql can do everything that manage: 'verify' needs, and nothing else. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type ConfigurationError, defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const name = randomBytes(4).toString('hex');
const [role, slot, password] = [`least_${name}`, `least_${name}`, randomBytes(12).toString('hex')];
const watchers = defineWatchers<{ users: { id: number; name: string | null }; packages: { id: number } }>()([
  ['users', 'inserted', { extraColumns: ['name'] }],
  ['packages', 'inserted'],
]);

const read = (file: string) => readFile(new URL(`../../sql/${file}`, import.meta.url), 'utf8');
const asRole = () => {
  const url = new URL(db.url);
  Object.assign(url, { username: role, password });
  return url.href;
};

beforeAll(async () => {
  // Privileges that PostgreSQL grants to everybody must not be needed.
  await db.sql(`revoke all on database "${db.name}" from public`);
  await db.sql('revoke create on schema public from public'); // as by default from PostgreSQL 15
  const text = await read('role.sql');
  await db.sql(text.replaceAll(/\bwalwatch\b/g, role).replaceAll(/\baccounts\b/g, db.name));
  await db.sql(`alter role ${role} password '${password}'`);
  for (const migration of ['001_dead_letters', '002_positions', '004_attempts']) {
    // Run as the owner of the database: with the grants at their end.
    const uncommented = (await read(`migrations/${migration}.sql`)).replaceAll(/^-- (?=GRANT )/gm, '');
    expect(uncommented.match(/^GRANT .* TO walwatch;$/gm)).toHaveLength(2);
    await db.sql(uncommented.replaceAll('TO walwatch;', `TO ${role};`));
  }
});

/** The objects that the DBA creates for a worker. watchOn drops them when the test has finished. */
async function makeSlot(): Promise<void> {
  await db.sql(
    `create publication ${slot} for table users, packages with (publish = 'insert', publish_via_partition_root = true)`,
  );
  await db.sql(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
}

afterAll(() =>
  inSession(inject('server').url, async (client) => {
    const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role]);
    if (rowCount === 0) return;
    await inSession(db.url, (session) => session.query(`drop owned by ${role}`));
    await client.query(`drop role ${role}`);
  }),
);

test('it runs every feature: reading, heartbeats, dead letters, positions, a takeover, and reconnects after a loss', async () => {
  await makeSlot();
  const options = { connection: asRole(), manage: 'verify', heartbeat: 200 } as const;
  const first = watchOf(watchers, { ...options, slot });
  await first.start();
  const watch = watchOf(watchers, { ...options, slot: { name: slot, takeover: 'terminate' } });
  const problems: (string | undefined)[] = [];
  const tell = (error: WatchError | undefined) => {
    if (error?.code !== 'SLOT_ACTIVE') problems.push(error?.message); // which it is, until the takeover
  };
  watch.on('warning', tell);
  watch.on('disconnected', ({ error }) => tell(error));
  const seen: string[] = [];
  let works = false;
  watch.subscribe('packages:inserted', async ({ id }, { client }) => {
    const { rows } = await client.query('select count(*)::int as count from users');
    seen.push(`package ${id} of ${rows[0].count} users`);
  }, { transaction: true, name: 'in a transaction' }); // prettier-ignore
  watch.subscribe('users:inserted', (event) => {
    if (!works) throw new Error('down');
    seen.push(`user ${event.name}`);
  }, { name: 'mailer', onError: { attempts: 1, then: 'deadLetter' } }); // prettier-ignore
  let beats = 0;
  watch.onMessage(`walwatch:heartbeat:${slot}`, () => void beats++);
  await watch.start();
  await first.stop();
  expect(problems).toEqual([]);

  await db.sql(`insert into users (name) values ('Ada'), ('Grace')`);
  await db.sql(`insert into packages (name) values ('one')`);
  await settled(db, watch);
  works = true;
  const letters = [];
  for await (const letter of watch.deadLetters.list()) letters.push(letter);
  expect(letters).toHaveLength(2);
  expect(await watch.deadLetters.replay({ ids: [letters[0]!.id] })).toBe(1);
  expect(await watch.deadLetters.discard({})).toBe(1);
  expect(seen).toEqual(['package 1 of 2 users', 'user Ada']);

  const before = beats;
  await until(() => beats > before, { describe: 'another heartbeat' });
  expect(problems).toEqual([]);
  await db.sql('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1', [slot]);
  await until(() => problems.length > 0, { describe: 'the loss' });
  await db.sql(`insert into packages (name) values ('two')`);
  await settled(db, watch);
  expect(seen).toContain('package 2 of 2 users');
  expect(problems).toHaveLength(1);
});

test('it can read the watched tables but not write them, and cannot read the others', async () => {
  await db.sql('create table secrets (id int)');
  await inSession(asRole(), async (client) => {
    await client.query('select from users, packages');
    for (const statement of [
      'select from roles',
      'select from secrets',
      `insert into users (name) values ('x')`,
      'update packages set name = name',
      'delete from users',
      'truncate walwatch.dead_letters',
      'create table own ()',
      'create schema own',
      'create publication own for table users',
      'drop table users',
      'alter table users replica identity full',
      `copy users to program 'cat'`,
    ]) {
      await expect(client.query(statement), statement).rejects.toMatchObject({ code: '42501' });
    }
  });
});

test('without a table of positions, or the rights on it, the start fails with the SQL for its owner to run', async () => {
  await makeSlot();
  const subscribed = () => {
    const watch = watchOf(watchers, { connection: asRole(), manage: 'verify', slot });
    const seen: number[] = [];
    watch.subscribe('packages:inserted', ({ id }) => void seen.push(id), { transaction: true, name: 'counted' });
    return { watch, seen };
  };
  for (const missing of [
    'drop schema walwatch cascade',
    `revoke update on walwatch.positions from ${role}`,
    `revoke usage on schema walwatch from ${role}`,
  ]) {
    await db.sql(missing);
    const { watch } = subscribed();
    const error = await watch.start().catch((thrown: unknown) => thrown as ConfigurationError);
    expect(error, missing).toMatchObject({
      code: 'CONFIGURATION',
      issues: [{ message: expect.stringContaining(role) }],
    });
    const [, sql] = /^As the owner of the database, run: (.*)$/.exec(error!.solution!)!;
    await db.sql(sql!);
  }
  const { watch, seen } = subscribed();
  await watch.start();
  const [row] = await db.sql<{ id: number }>(`insert into packages (name) values ('three') returning id`);
  await settled(db, watch);
  expect(seen).toEqual([row!.id]);
});
