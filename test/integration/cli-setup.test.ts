/** setup: it leaves exactly what a worker with manage: 'create' leaves. */
import { beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers } from '../../src/index.ts';
import { statementsOf } from '../../src/cli/pasteable.ts';
import { cli, folder, startOnTerminal } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { configured, settingUp, watchers } from '../support/setting-up.ts';
import { until } from '../support/until.ts';
import { watchOn } from '../support/watching.ts';

const db = useDatabase();
const filters = test.skipIf(inject('server').version < 15);
const watchOf = watchOn(db);
const { name, identity, state } = settingUp(db);

beforeEach(() => db.sql('alter table users replica identity default'));

describe('setup', () => {
  test("leaves the same as a worker with manage: 'create', and a worker with 'verify' can start", async () => {
    const byWorker = name();
    await db.sql('alter table users replica identity full');
    const worker = watchOf(watchers, { slot: byWorker });
    await worker.start();
    await worker.stop();
    const wanted = await state(byWorker);
    await db.sql('alter table users replica identity default');

    const slot = name();
    const { code, stdout } = await cli(['setup', '--yes'], { url: db.url, cwd: await configured(slot) });
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^-- A worker does not do this: the WAL must contain all old values .*\nALTER TABLE "public"."users" REPLICA IDENTITY FULL;\n-- .*\nCREATE PUBLICATION/,
    );
    expect(stdout).toContain(`✓ '${slot}' is set up`);
    expect(await state(slot)).toEqual(wanted);
    const verifying = createWatch({ connection: db.url, slot, watchers, manage: 'verify' });
    const seen: unknown[] = [];
    verifying.subscribe('users:inserted', (event: unknown) => void seen.push(event));
    await verifying.start();
    const [user] = await db.sql(`insert into users (name) values ('Ada') returning id`);
    await until(() => seen.length > 0, { describe: 'the event' });
    await verifying.stop();
    expect(seen).toEqual([user]);
  });

  test('--print prints SQL that does the same, in order, and changes nothing', async () => {
    const slot = name();
    const cwd = await configured(slot);
    const { code, stdout, stderr } = await cli(['setup', '--print'], { url: db.url, cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    const statements = statementsOf(stdout);
    expect(statements).toHaveLength(9); // including the session's settings
    expect(statements[0]).toBe('SET search_path = pg_catalog, pg_temp;');
    const session = await db.client();
    for (const statement of statements) await session.query(statement);
    await session.end();
    const byHand = await state(slot);
    const other = name();
    await cli(['setup', '--yes'], { url: db.url, cwd: await configured(other) });
    expect(byHand).toEqual(await state(other));
    expect(await cli(['setup', '--print'], { url: db.url, cwd })).toMatchObject({
      code: 0,
      stdout: '-- Nothing to do.\n',
    });
    await createWatchOnce(slot);
  });

  const createWatchOnce = async (slot: string) => {
    const verifying = createWatch({ connection: db.url, slot, watchers, manage: 'verify' });
    await verifying.start();
    await verifying.stop();
  };

  test('can run again, and then only adds missing things', async () => {
    const slot = name();
    const cwd = await configured(slot);
    await cli(['setup', '--yes'], { url: db.url, cwd });
    const before = await state(slot);
    const again = await cli(['setup', '--yes'], { url: db.url, cwd });
    expect(again).toMatchObject({ code: 0, stdout: `✓ '${slot}' is already set up.\n`, stderr: '' });
    expect(await state(slot)).toEqual(before);
    const { code, stdout } = await cli(['setup', 'roles:truncated', '--yes'], { url: db.url, cwd });
    expect(code).toBe(0);
    expect(stdout.match(/ALTER|CREATE|DO|SELECT/g)).toEqual(['ALTER', 'ALTER']);
    expect(await state(slot)).toMatchObject({ tables: 'public.packages public.roles public.users', pubtruncate: true });
  });

  test('accepts watchers as arguments, without a configuration', async () => {
    const slot = name();
    const args = ['setup', 'packages:inserted', 'users:deleted', '--columns', 'name', '--slot', slot, '--yes'];
    expect(await cli(args, { url: db.url })).toMatchObject({ code: 0 });
    expect(await state(slot)).toMatchObject({ tables: 'public.packages public.users', pubupdate: false, users: 'f' });
  });

  filters('sets row filters and the replica identity that they need, and replaces another filter', async () => {
    const slot = name();
    const filter = async () =>
      (
        await db.sql(
          'select pg_get_expr(prqual, prrelid) as f from pg_publication_rel join pg_publication p on p.oid = prpubid where pubname = $1',
          [slot],
        )
      )[0]!['f'];
    const run = (where: string) =>
      cli(['setup', 'users:updated', '--where', where, '--slot', slot, '--yes'], { url: db.url });
    expect(await run('role_id = 1')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('REPLICA IDENTITY FULL'),
    });
    expect(await filter()).toBe('(role_id = 1)');
    expect(await identity('users')).toBe('f');
    const other = await run('role_id = 2');
    expect(other).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^BEGIN; ALTER .* DROP TABLE .*; COMMIT;$/m),
    });
    expect(await filter()).toBe('(role_id = 2)');
    expect((await run('role_id = 2')).stdout).toContain('is already set up');
    const filtered = defineWatchers([['users', 'updated', { where: 'role_id = 2' }]]);
    const verifying = createWatch({ connection: db.url, slot, watchers: filtered, manage: 'verify' });
    await verifying.start();
    await verifying.stop();
    const refused = await run('role_id =');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('PostgreSQL refuses its where') });
  });

  test.skipIf(inject('server').version < 17)('creates the slot of --slot with the options of the file', async () => {
    const cwd = await folder({
      'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
        export default defineConfig({ slot: { name: 'other', failover: true }, watchers: defineWatchers([['users', 'inserted']]) });`,
    });
    const { stdout } = await cli(['setup', '--slot', name(), '--print'], { url: db.url, cwd });
    expect(stdout).toMatch(/pg_create_logical_replication_slot\('\S+', 'pgoutput', false, false, true\)/);
  }); // prettier-ignore

  test('asks on a terminal, and changes nothing unless the answer is yes', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    for (const answer of ['n\n', '\n', '\u0004']) {
      const refused = startOnTerminal(['setup'], options);
      await refused.says(/Run this\? \[y\/N\] /);
      refused.type(answer);
      expect(await refused.ended).toMatchObject({ code: 1, stdout: expect.stringContaining('Nothing was changed.') });
    }
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    expect(await identity('users')).toBe('d');
    const accepted = startOnTerminal(['setup'], options);
    await accepted.says(/CREATE PUBLICATION[^]*Run this\? \[y\/N\] /);
    accepted.type('y\n');
    expect(await accepted.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('is set up') });
    await state(slot);
  });

  test('without a terminal it exits with 2 and changes nothing', async () => {
    const slot = name();
    const { code, stderr } = await cli(['setup'], { url: db.url, cwd: await configured(slot) });
    expect(code).toBe(2);
    expect(stderr).toBe(
      'walwatch: confirmation needs a terminal; nothing was changed\n  Add --yes to run without confirmation.\n',
    );
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
  });

  test('finishes even if the reader of its output has closed the pipe', async () => {
    const slot = name();
    const cwd = await configured(slot);
    const { spawnSync } = await import('node:child_process');
    const program = new URL('../../dist/cli/main.js', import.meta.url).pathname;
    const run = `"$0" "${program}" setup --yes | true; echo "$PIPESTATUS"`;
    const { stdout } = spawnSync('bash', ['-c', run, process.execPath], {
      cwd, env: { ...process.env, DATABASE_URL: db.url }, encoding: 'utf8',
    }); // prettier-ignore
    expect(stdout).toBe('0\n');
    await state(slot);
  });
});

describe("the worker's role", () => {
  const needing = (slot: string) =>
    folder({
      'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
        export default defineConfig({ slot: '${slot}', watchers: defineWatchers([['users', 'inserted']]) });
        export function subscribe(watch) { watch.subscribe('users:inserted', () => {}, { name: 'mover', transaction: true }); }`,
    });

  test('is granted rights on the tables of walwatch, even if they already exist', async () => {
    const slot = name();
    const role = `worker_${slot}`;
    await db.sql(`create role ${role}`);
    onTestFinished(() => db.sql(`drop owned by ${role}; drop role ${role}`).then(() => {}));
    const may = async () =>
      (await db.sql(`select has_schema_privilege('${role}', 'walwatch', 'usage') and has_table_privilege('${role}', 'walwatch.positions', 'select, insert, update') as may`))[0]!['may']; // prettier-ignore
    const options = { url: db.url, cwd: await needing(slot) };
    const first = await cli(['setup', '--yes'], options);
    expect(first).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^-- A table .* for the role \S+\. .* --role\.$/m),
    });
    expect(await may()).toBe(false);
    const second = await cli(['setup', '--role', role, '--yes'], options);
    expect(second).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`GRANT SELECT, INSERT, UPDATE ON walwatch.positions TO "${role}";`),
    });
    expect(await may()).toBe(true);
    expect((await cli(['setup', '--role', role, '--yes'], options)).stdout).toContain('is already set up');
  });

  test('is a usage error if it does not exist', async () => {
    const slot = name();
    const ended = await cli(['setup', '--role', 'no_such_role', '--yes'], { url: db.url, cwd: await needing(slot) });
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining("the role 'no_such_role' does not exist") });
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
  });
});
