/** doctor finds the errors that a start would fail with, and the output of doctor and setup can be pasted. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { statementsOf } from '../../src/cli/pasteable.ts';
import { cli, folder } from '../support/cli.ts';
import { startCluster } from '../support/cluster.ts';
import { createDatabase, type Database, useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { dropSlotAndPublication, nameOn, slotName } from '../support/watching.ts';

const db = useDatabase();

interface Check {
  readonly name: string;
  readonly level: 'ok' | 'warning' | 'problem';
  readonly found: string;
  readonly fix?: string;
}

const handlers = `export function subscribe(watch) {
  watch.subscribe('users:inserted', () => {}, { name: 'mover', transaction: true });
  watch.subscribe('moved', () => {}, { name: 'mailer', onError: { attempts: 3, then: 'deadLetter' } });
}`;
const configured = (slot: string, options = '', more = handlers) =>
  folder({
    'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
      export default defineConfig({ slot: '${slot}', ${options} watchers: defineWatchers([
        ['users', 'inserted'], ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }],
      ]) });
      ${more}`,
  });
const watchers = defineWatchers([
  ['users', 'inserted'],
  ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }],
]);

async function examine(url: string, cwd: string): Promise<{ code: number; checks: readonly Check[] }> {
  const { code, stdout, stderr } = await cli(['doctor', '--json'], { url, cwd });
  expect(stderr).toBe('');
  return { code, checks: JSON.parse(stdout).checks };
}

const wrong = (checks: readonly Check[]) => checks.filter(({ level }) => level !== 'ok');

/** Runs statements one after the other, as psql does. */
async function paste(url: string, sql: string): Promise<void> {
  await inSession(url, async (client) => {
    for (const statement of statementsOf(sql)) await client.query(statement);
  });
}

describe('after pasting the printed SQL, the doctor finds no problem', () => {
  /** Uses a separate server, because settings are changed, and a database without any set-up. */
  async function onFreshServer(work: (own: Database, slot: string) => Promise<void>): Promise<void> {
    await using cluster = await startCluster();
    await using own = await createDatabase(cluster.url);
    const slot = slotName();
    await work(own, slot);
    await dropSlotAndPublication(own, slot);
  }
  const limit = `ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'; SELECT pg_catalog.pg_reload_conf();`;

  test('with the output of setup --print, which explains each statement', () =>
    onFreshServer(async (own, slot) => {
      await paste(own.url, limit);
      const cwd = await configured(slot, `manage: 'verify',`);
      const { code, stdout, stderr } = await cli(['setup', '--print'], { url: own.url, cwd });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^SET search_path = .*\n-- .*\nSET lock_timeout = '2s';\n-- A worker does not do this: the WAL must contain/);
      expect(stdout).toMatch(/-- The slot .*\n-- .*\nSET lock_timeout = '10s';\nSELECT pg_catalog\.pg_create_logical/);
      // Everything except comments is a statement.
      expect(statementsOf(stdout).join('\n').length).toBe(stdout.replaceAll(/^--.*\n/gm, '').replace('timeout; RESET', 'timeout;\nRESET').length - 1);
      await paste(own.url, stdout);
      const { checks } = await examine(own.url, cwd);
      expect(wrong(checks)).toEqual([]);
      const verifying = createWatch({ connection: own.url, slot, watchers, manage: 'verify', logger: silent });
      verifying.subscribe('users:inserted', () => {}, { name: 'mover', transaction: true });
      await verifying.start();
      await verifying.stop();
    })); // prettier-ignore

  test('with the fixes of doctor, one after the other', () =>
    onFreshServer(async (own, slot) => {
      await own.sql('create table heir () inherits (packages)');
      const cwd = await configured(slot, `manage: 'verify',`);
      const before = await examine(own.url, cwd);
      expect(before.code).toBe(1);
      expect(wrong(before.checks).map(({ name }) => name)).toEqual([
        'max_slot_wal_keep_size', 'moved', `publication '${slot}'`, `slot '${slot}'`, 'walwatch.dead_letters', 'walwatch.positions',
        'walwatch.attempts',
      ]); // prettier-ignore
      for (const { fix } of wrong(before.checks)) {
        expect(statementsOf(fix!).length).toBeGreaterThan(0);
        await paste(own.url, fix!);
      }
      expect(wrong((await examine(own.url, cwd)).checks)).toEqual([]);
    }));
});

const silent = { debug() {}, info() {}, warn() {}, error() {} };

describe('doctor and start fail for the same reason:', () => {
  /** A role that may replicate, in the test's database. */
  async function roleFor(rights: readonly string[]): Promise<{ role: string; url: string }> {
    const role = slotName();
    await db.sql(`create role ${role} login replication`);
    onTestFinished(async () => {
      await db.sql('alter table users owner to current_user; alter table users replica identity default');
      await db.sql(`drop schema if exists walwatch cascade; drop owned by ${role}; drop role ${role}`);
    });
    for (const right of rights) await db.sql(right.replaceAll('$role', role));
    const url = new URL(db.url);
    url.username = role;
    return { role, url: url.href };
  }
  const create = "do $$ begin execute format('grant create on database %I to $role', current_database()); end $$";
  const owner = 'alter table users owner to $role';
  const full = 'alter table users replica identity full';

  async function starts(url: string, slot: string, manage: 'create' | 'verify'): Promise<boolean> {
    const watch = createWatch({ connection: url, slot, watchers, manage, logger: silent });
    watch.subscribe('users:inserted', () => {}, { name: 'mover', transaction: true });
    const ended = watch.closed.then(() => false, () => false); // prettier-ignore
    const started = await Promise.race([watch.start().then(() => true, () => false), ended, failing(watch)]); // prettier-ignore
    await watch.stop();
    return started;
  }
  /** Resolves if the watch keeps retrying, which counts as a failed start. */
  const failing = (watch: ReturnType<typeof createWatch>) =>
    new Promise<boolean>((resolve) => void watch.on('disconnected', () => resolve(false)));

  const situations = [
    ['nothing', [create, owner, full], undefined, undefined, 0],
    ['no ownership of the table', [create, full], "rights for manage: 'create'", /^missing: ownership of public\.users$/, 1],
    ['no right to create', [owner, full], "rights for manage: 'create'", /^missing: CREATE on the database$/, 3], // and the tables
    ['default_transaction_read_only', [create, owner, full, 'alter role $role set default_transaction_read_only = on'], 'default_transaction_read_only', /^on$/, 1],
    ['a table of positions without rights', [create, owner, full, 'create schema walwatch; create table walwatch.positions (slot text, timeline int8)'], 'walwatch.positions', /lacks SELECT, INSERT, UPDATE, USAGE on the schema$/, 2], // and that of dead letters
  ] as const; // prettier-ignore

  test.each(situations)('%s', async (_, rights, name, found, count) => {
    const { url } = await roleFor(rights);
    const slot = nameOn(db);
    const { code, checks } = await examine(url, await configured(slot));
    const problems = checks.filter(({ level }) => level === 'problem');
    expect(problems.length).toBe(name === undefined ? 0 : count);
    if (found) expect(problems.find((check) => check.name === name)!.found).toMatch(found);
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    expect(code).toBe(name === undefined ? 0 : 1);
    expect(await starts(url, slot, 'create')).toBe(name === undefined);
  });

  test('an event trigger that refuses the publication, with its message; other event triggers do not matter', async () => {
    const { url } = await roleFor([create, owner, full]);
    const slot = nameOn(db);
    await db.sql(`
      create function refuse() returns event_trigger language plpgsql as $$ begin
        if tg_tag like '%PUBLICATION' and current_user <> 'postgres' then raise exception 'no publications on Fridays'; end if; end $$;
      create event trigger guard on ddl_command_start execute function refuse()`);
    onTestFinished(() => db.sql('drop event trigger if exists guard; drop function refuse()').then(() => {}));
    const cwd = await configured(slot);
    const { code, checks } = await examine(url, cwd);
    expect(code).toBe(1);
    expect(checks.filter(({ level }) => level === 'problem')).toMatchObject([
      { name: 'publication', found: expect.stringContaining('no publications on Fridays') },
    ]);
    expect(await starts(url, slot, 'create')).toBe(false);
    await db.sql('drop event trigger guard');
    await db.sql(`create or replace function refuse() returns event_trigger language plpgsql as $$ begin end $$;
      create event trigger guard on ddl_command_end execute function refuse()`);
    expect((await examine(url, cwd)).code).toBe(0);
  });

  test('too few connections left for the role', async () => {
    const { role, url } = await roleFor([create, owner, full]);
    await db.sql(`alter role ${role} connection limit 2`);
    const cwd = await configured(nameOn(db));
    const { code, checks } = await examine(url, cwd);
    expect(code).toBe(1);
    const [check] = checks.filter(({ name }) => name === 'connections');
    expect(check).toMatchObject({ level: 'problem', found: `2 left of the CONNECTION LIMIT of the role '${role}'` });
    await paste(db.url, check!.fix!);
    expect((await examine(url, cwd)).code).toBe(0);
  });

  test('handlers that cannot be registered', async () => {
    const cwd = await configured(nameOn(db), '', `export function subscribe(watch) { watch.subscribe('users:gone', () => {}); }`);
    const { code, checks } = await examine(db.url, cwd);
    expect(code).toBe(1);
    expect(checks.find(({ name }) => name === 'subscribe')).toMatchObject({ level: 'problem', found: expect.stringContaining("there is no watcher 'users:gone'") });
  }); // prettier-ignore
});

test('a table with inheriting tables has a warning until those are watched', async () => {
  await db.sql(`create table measures (id int primary key, at date); create table measures_2026 (primary key (id)) inherits (measures)`);
  onTestFinished(() => db.sql('drop table measures cascade').then(() => {}));
  const { stdout } = await cli(['doctor', 'measures:inserted'], { url: db.url });
  expect(stdout).not.toMatch(/^✓ measures/m);
  expect(stdout).toMatch(/^! measures:inserted: changes of the tables that inherit from it are not watched: measures_2026$/m);
  const both = await cli(['doctor', 'measures:inserted', 'measures_2026:inserted'], { url: db.url });
  expect(both.stdout).toMatch(/^✓ measures:inserted: [^]*^✓ measures_2026:inserted/m);
}); // prettier-ignore
