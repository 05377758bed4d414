/**
 * A role that may create schemas makes the schema `walwatch`, or a table in it, before walwatch does, and waits for others to
 * run its code: triggers, rules, views, policies, defaults. What such a role owns is not used, whatever it is.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { checkOwnTable, type OwnTable } from '../../src/postgres/own-tables.ts';
import { cli } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const id = randomBytes(4).toString('hex');
const [mallory, worker, owner, group, member] = ['mallory', 'worker', 'owner', 'group', 'member'].map((one) => `${one}_${id}`) as [string, string, string, string, string]; // prettier-ignore

// Registered before the database is created, so it runs after the database, with everything that they own, is dropped.
afterAll(() =>
  inSession(inject('server').url, (client) =>
    client.query(`drop role if exists ${mallory}, ${worker}, ${owner}, ${group}, ${member}`),
  ),
);
const db = useDatabase();
const watchOf = watchOn(db);
const as = (role: string) => {
  const url = new URL(db.url);
  url.username = role;
  return url.href;
};
const watchers = defineWatchers<{ users: { id: number; name: string | null } }>()([
  ['users', 'inserted', { extraColumns: ['name'] }],
]);
const migrations = {
  dead_letters: '001_dead_letters',
  positions: '002_positions',
  existing: '003_existing',
  attempts: '004_attempts',
} as const;
const tables = Object.keys(migrations) as OwnTable[];
const migration = (table: OwnTable) =>
  readFile(new URL(`../../sql/migrations/${migrations[table]}.sql`, import.meta.url), 'utf8');

beforeAll(async () => {
  await db.sql(`create role ${owner} login`);
  await db.sql(`create role ${group}`);
  await db.sql(`create role ${member} in role ${owner}`);
  await db.sql(`create role ${mallory} login`);
  await db.sql(`create role ${worker} login replication in role ${group}`);
  await db.sql(`alter database ${db.name} owner to ${owner}`);
  await db.sql(`grant create on database ${db.name} to ${mallory}, ${worker}`);
  await db.sql(`grant create on schema public to ${mallory}`);
  await db.sql(`alter table users owner to ${worker}`);
  // Shows whether mallory's code ran: sequences do not roll back.
  await db.sql(`create sequence ran; grant all on ran to public`);
});
beforeEach(async () => {
  await db.sql('drop schema if exists walwatch cascade');
  await run(
    mallory,
    `create or replace function evil() returns trigger language plpgsql as $$ begin perform nextval('public.ran'); return new; end $$`,
    `create or replace function evil_value() returns text language plpgsql as $$ begin perform nextval('public.ran'); return ''; end $$`,
    `create or replace function evil_check(text) returns bool language plpgsql immutable as $$ begin perform nextval('public.ran'); return true; end $$`,
  );
});

const ran = async () => (await db.sql<{ ran: boolean }>('select is_called as ran from ran'))[0]!.ran;
const run = (role: string, ...statements: string[]) =>
  inSession(as(role), async (client) => {
    for (const statement of statements) await client.query(statement);
  });
const make = async (role: string) => {
  for (const table of tables) await run(role, await migration(table));
};
const check = (role: string, table: OwnTable) =>
  inSession(as(role), (client) => checkOwnTable(client, table)).then(
    () => undefined,
    (error: WatchError) => error,
  );
const grantAll = `grant all on schema walwatch to public; grant all on all tables in schema walwatch to public`;

describe('another role created the schema, with a trigger on each table', () => {
  beforeEach(async () => {
    await make(mallory);
    for (const table of tables)
      await run(
        mallory,
        `create trigger t before insert or update or delete on walwatch.${table} execute function evil()`,
      );
    await run(mallory, grantAll);
  });

  test.each(['create', 'verify'] as const)(
    'a watch that keeps positions is refused, with manage: %s',
    async (manage) => {
      const watch = watchOf(watchers, { connection: as(worker), manage });
      watch.subscribe('users:inserted', () => {}, { name: 'counted', transaction: true });
      const error = await watch.start().catch((thrown: unknown) => thrown as WatchError);
      expect(error).toMatchObject({ code: 'CONFIGURATION' });
      for (const text of [
        `the schema walwatch belongs to the role '${mallory}'`,
        `the table walwatch.positions belongs to the role '${mallory}'`,
        'run: ALTER SCHEMA walwatch RENAME TO walwatch_of_a_stranger;',
      ])
        expect(error!.message).toContain(text);
      expect(await ran()).toBe(false);
    },
  );

  test('dead letters and attempts are not written, and the event is kept', async () => {
    const watch = watchOf(watchers, { connection: as(worker) });
    const warnings: WatchError[] = [];
    watch.on('warning', (warning) => void warnings.push(warning));
    watch.subscribe('users:inserted', () => Promise.reject(new Error('no')), {
      name: 'mailer',
      onError: { attempts: 1, then: 'deadLetter' },
    });
    await watch.start();
    await db.sql(`insert into users (name) values ('Ada')`);
    const told = (text: string) => warnings.find(({ message }) => message.includes(text));
    const letter = await until(() => told('could not be written'), { describe: 'a warning' });
    expect(letter).toMatchObject({
      code: 'DEAD_LETTER',
      solution: expect.stringContaining('ALTER SCHEMA walwatch RENAME TO'),
    });
    expect(told('retried without a limit')).toMatchObject({
      message: expect.stringContaining(`the table walwatch.attempts belongs to the role '${mallory}'`),
      solution: expect.stringContaining('ALTER SCHEMA walwatch RENAME TO'),
    });
    for (const use of [
      () => watch.deadLetters.list()[Symbol.asyncIterator]().next(),
      () => watch.deadLetters.replay(),
      () => watch.deadLetters.discard({}),
    ])
      await expect(use()).rejects.toMatchObject({ code: 'PERMISSION', message: expect.stringContaining(mallory) });
    expect(await ran()).toBe(false);
  });

  test('the command line refuses it, even for a superuser', async () => {
    const slot = slotName();
    for (const role of [worker, new URL(db.url).username]) {
      for (const args of [['list'], ['list', '--json'], ['show', '1'], ['discard', '--all', '--yes']]) {
        const { code, stderr } = await cli(['dead-letters', ...args, '--slot', slot], { url: as(role) });
        expect({ code, stderr }).toMatchObject({
          code: 1,
          stderr: expect.stringContaining(`belongs to the role '${mallory}'`),
        });
      }
    }
    expect(await ran()).toBe(false);
  });

  test('the doctor reports each table', async () => {
    const { stdout } = await cli(['doctor', '--json'], { url: as(worker) });
    const { checks } = JSON.parse(stdout) as { checks: { name: string; level: string; found: string; fix: string }[] };
    for (const table of tables) {
      expect(checks.find(({ name }) => name === `walwatch.${table}`)).toMatchObject({
        level: 'warning',
        found: expect.stringContaining(`'${mallory}'`),
        fix: expect.stringContaining('ALTER SCHEMA walwatch RENAME TO'),
      });
    }
    expect(await ran()).toBe(false);
  });

  test.each(tables)('the migration of %s refuses it, too', async (table) => {
    for (const role of [worker, owner, new URL(db.url).username])
      await expect(run(role, await migration(table))).rejects.toThrow(
        `the schema walwatch belongs to the role '${mallory}'`,
      );
  });

  test('following the solution is enough: the new tables are used, without the planted triggers', async () => {
    const error = await check(worker, 'positions');
    await db.sql(/ run: (.*)$/.exec(error!.solution!)![1]!);
    onTestFinished(() => db.sql('drop schema walwatch_of_a_stranger cascade').then(() => {}));
    for (const table of tables) await run(owner, await migration(table));
    await run(owner, grantAll);
    for (const table of tables) {
      expect(await check(worker, table)).toBeUndefined();
      await run(worker, `delete from walwatch.${table}`);
    }
    expect(await ran()).toBe(false);
  });
});

test('an empty schema of another role is not used', async () => {
  await run(mallory, 'create schema walwatch; grant all on schema walwatch to public');
  const watch = watchOf(watchers, { connection: as(worker) });
  watch.subscribe('users:inserted', () => {}, { name: 'counted', transaction: true });
  await expect(watch.start()).rejects.toThrow(`the schema walwatch belongs to the role '${mallory}'`);
  expect(await db.sql(`select from pg_class where relnamespace = 'walwatch'::regnamespace`)).toEqual([]);
});

describe("the schema belongs to the worker, but another role may create objects in it", () => {
  const rename = 'ALTER TABLE walwatch.dead_letters RENAME TO dead_letters_of_a_stranger;';
  beforeEach(() => run(worker, 'create schema walwatch', `grant all on schema walwatch to ${mallory}`));

  test.each([
    ['a table', 'create table walwatch.dead_letters ()', rename],
    ['a view', 'create view walwatch.dead_letters as select public.evil_value() as slot', rename],
    ['a materialized view', 'create materialized view walwatch.dead_letters as select 1 as slot', rename],
    ['a sequence', 'create sequence walwatch.dead_letters', rename],
  ])('%s of that role is not used', async (_, statement, solution) => {
    await run(mallory, statement, 'grant all on all tables in schema walwatch to public');
    const error = await check(worker, 'dead_letters');
    expect(error).toMatchObject({ code: 'PERMISSION', message: expect.stringContaining(`'${mallory}'`) });
    expect(error!.solution).toContain(solution);
    const listed = await cli(['dead-letters', 'list', '--slot', 'any'], { url: as(worker) });
    expect(listed).toMatchObject({ code: 1, stderr: expect.stringContaining(mallory) });
    await db.sql(/run: (.*)$/.exec(error!.solution!)![1]!);
    expect(await check(worker, 'dead_letters')).toBeUndefined();
  });
}); // prettier-ignore

describe('the table belongs to the worker, but would run code of another role', () => {
  beforeEach(() => make(worker));

  test.each([
    ['a trigger', 'create trigger "T x" before insert on walwatch.positions for each row execute function evil()', 'DROP TRIGGER "T x" ON walwatch.positions;'],
    ['a rule', 'create rule r as on insert to walwatch.positions do also select evil_value()', 'DROP RULE r ON walwatch.positions;'],
    ['a default', 'alter table walwatch.positions alter slot set default evil_value()', 'DROP FUNCTION public.evil_value() CASCADE;'],
    ['a constraint', 'alter table walwatch.positions add check (evil_check(slot))', 'DROP FUNCTION public.evil_check('],
    ['an index', 'create index on walwatch.positions (evil_check(slot))', 'DROP FUNCTION public.evil_check('],
    ['a column of a domain', 'alter table walwatch.positions add more evil_domain', 'DROP TYPE public.evil_domain CASCADE;'],
    ['row security', 'alter table walwatch.positions enable row level security, force row level security', 'ALTER TABLE walwatch.positions DISABLE ROW LEVEL SECURITY;'],
    ['a table that inherits from it', `create table public.child () inherits (walwatch.positions); alter table public.child owner to ${mallory}`, 'ALTER TABLE public.child NO INHERIT walwatch.positions;'],
  ])('%s', async (_, statement, solution) => {
    onTestFinished(() => run(mallory, 'drop domain if exists evil_domain cascade', 'drop table if exists public.child'));
    await run(mallory, 'create domain evil_domain as text check (public.evil_check(value))');
    await db.sql(statement);
    const error = await check(worker, 'positions');
    expect(error).toMatchObject({ code: 'PERMISSION', message: expect.stringMatching(/^walwatch\.positions is not used/) });
    expect(error!.solution).toContain(solution);
    expect(await check(worker, 'dead_letters')).toBeUndefined();
  });
}); // prettier-ignore

describe('trusted owners', () => {
  const trusted: [string, () => string, () => string][] = [
    ['the role itself', () => worker, () => worker],
    ['a role that it is a member of', () => group, () => worker],
    ['the owner of the database', () => owner, () => worker],
    ['a member of the owner of the database', () => member, () => worker],
    ['a superuser', () => new URL(db.url).username, () => worker],
    ['a superuser, by the owner of the database', () => new URL(db.url).username, () => owner],
  ];
  test.each(trusted)('%s', async (_, makes, uses) => {
    await make(worker);
    await db.sql(`alter schema walwatch owner to ${makes()}`);
    for (const table of tables) await db.sql(`alter table walwatch.${table} owner to ${makes()}`);
    await db.sql(grantAll);
    // Views, foreign keys and triggers of trusted owners are harmless.
    await db.sql(`create view letters as select id, public.evil_value() from walwatch.dead_letters`);
    onTestFinished(() => db.sql('drop view if exists letters').then(() => {}));
    await db.sql(`create function told() returns trigger language plpgsql as 'begin return new; end'`);
    onTestFinished(() => db.sql('drop function told cascade').then(() => {}));
    await db.sql(`create trigger told after insert on walwatch.dead_letters for each row execute function told()`);
    for (const table of tables) expect(await check(uses(), table)).toBeUndefined();
  });

  test("a superuser does not trust the worker's role, whose planted code it would run", async () => {
    await make(worker);
    const error = await check(new URL(db.url).username, 'dead_letters');
    expect(error!.message).toContain(`belongs to the role '${worker}'`);
    expect(error!.solution).toContain("If that role is your worker's, connect as it,");
    const options = { url: as(worker) };
    expect(await cli(['dead-letters', 'list', '--slot', 'any'], options)).toMatchObject({ code: 0 });
  });

  test("foreign code is also detected in a handler's session, and the application's search path is kept", async () => {
    await make(worker);
    await inSession({ connectionString: as(worker), options: '-c search_path=public' }, async (client) => {
      await checkOwnTable(client, 'positions');
      expect((await client.query('show search_path')).rows).toEqual([{ search_path: 'public' }]);
    });
  });
});

test('tables that walwatch creates are used', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const watch = watchOf(watchers, { connection: as(worker), slot });
  const seen: (string | null)[] = [];
  watch.subscribe('users:inserted', ({ name }) => void seen.push(name), { name: 'counted', transaction: true });
  await watch.start();
  await db.sql(`insert into users (name) values ('Grace')`);
  await settled(db, watch);
  expect(seen).toEqual(['Grace']);
});
