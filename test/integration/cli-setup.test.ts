/** setup and teardown: what they leave is what a worker wants, or nothing. */
import { beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { compareLsn, createWatch, defineWatchers } from '../../src/index.ts';
import { statementsOf } from '../../src/cli/pasteable.ts';
import { cli, folder, onTerminal, startCli, startOnTerminal } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const filters = test.skipIf(inject('server').version < 15);
const watchOf = watchOn(db);
const source = `[
  ['users', 'inserted'],
  ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }],
  ['packages', 'deleted'],
]`;
const watchers = defineWatchers([
  ['users', 'inserted'],
  ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }],
  ['packages', 'deleted'],
]);
const configured = (slot: string, more = '') =>
  folder({
    'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
      export default defineConfig({ slot: '${slot}', watchers: defineWatchers(${source}), ${more} });`,
  });

/** A slot's name, with nothing left of it when the test has finished. */
function name(): string {
  const made = slotName();
  onTestFinished(() => dropSlotAndPublication(db, made));
  return made;
}

const identity = async (table: string) =>
  (await db.sql<{ i: string }>(`select relreplident as i from pg_class where oid = $1::regclass`, [table]))[0]!.i;

/** Slot, publication and replica identities; but for what differs each time. */
async function state(slot: string) {
  const [made] = await db.sql(
    `select s.plugin, s.database, s.temporary, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
            (select string_agg(schemaname || '.' || tablename, ' ' order by tablename) from pg_publication_tables where pubname = s.slot_name) as tables,
            obj_description(p.oid, 'pg_publication') as comment, p.oid as publication, s.confirmed_flush_lsn::text as lsn,
            (select oid from pg_database where datname = current_database()) as database_oid
     from pg_replication_slots s join pg_publication p on p.pubname = s.slot_name where s.slot_name = $1`,
    [slot],
  );
  const { comment, publication, lsn, database_oid: databaseOid, ...rest } = made!;
  const line = String(comment)
    .split('\n')
    .find((one) => one.startsWith('walwatch: '))!;
  // A worker that has streamed notes more.
  const { createdLsn, systemIdentifier, ...marker } = JSON.parse(line.slice('walwatch: '.length));
  expect(marker).toMatchObject({ version: 1, slot, databaseOid, publicationOid: publication });
  expect(createdLsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
  expect(compareLsn(lsn, createdLsn)).toBeGreaterThanOrEqual(0);
  return { ...rest, systemIdentifier, users: await identity('users'), packages: await identity('packages') };
}

beforeAll(() => db.sql('create table bare (line text)'));
beforeEach(() => db.sql('alter table users replica identity default'));

describe('setup', () => {
  test("leaves what a worker with manage: 'create' leaves, and one with 'verify' starts on it", async () => {
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
      /^-- Not done by a worker: public\.users has to send all old values .*\nALTER TABLE "public"."users" REPLICA IDENTITY FULL;\n-- .*\nCREATE PUBLICATION/,
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

  test('prints SQL that does the same, in the order in which it must be run, and changes nothing itself', async () => {
    const slot = name();
    const cwd = await configured(slot);
    const { code, stdout, stderr } = await cli(['setup', '--print'], { url: db.url, cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    const statements = statementsOf(stdout);
    expect(statements).toHaveLength(9); // with the settings of the session
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

  test('can be run again, and then adds only what is missing', async () => {
    const slot = name();
    const cwd = await configured(slot);
    await cli(['setup', '--yes'], { url: db.url, cwd });
    const before = await state(slot);
    const again = await cli(['setup', '--yes'], { url: db.url, cwd });
    expect(again).toMatchObject({ code: 0, stdout: `✓ '${slot}' is set up already.\n`, stderr: '' });
    expect(await state(slot)).toEqual(before);
    const { code, stdout } = await cli(['setup', 'roles:truncated', '--yes'], { url: db.url, cwd });
    expect(code).toBe(0);
    expect(stdout.match(/ALTER|CREATE|DO|SELECT/g)).toEqual(['ALTER', 'ALTER']);
    expect(await state(slot)).toMatchObject({ tables: 'public.packages public.roles public.users', pubtruncate: true });
  });

  test('takes watchers as arguments, without a configuration', async () => {
    const slot = name();
    const args = ['setup', 'packages:inserted', 'users:deleted', '--columns', 'name', '--slot', slot, '--yes'];
    expect(await cli(args, { url: db.url })).toMatchObject({ code: 0 });
    expect(await state(slot)).toMatchObject({ tables: 'public.packages public.users', pubupdate: false, users: 'f' });
  });

  filters(
    'sets row filters, and the replica identity that they need, also where the filter was another one',
    async () => {
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
      expect((await run('role_id = 2')).stdout).toContain('is set up already');
      const filtered = defineWatchers([['users', 'updated', { where: 'role_id = 2' }]]);
      const verifying = createWatch({ connection: db.url, slot, watchers: filtered, manage: 'verify' });
      await verifying.start();
      await verifying.stop();
      const refused = await run('role_id =');
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('PostgreSQL refuses its where') });
    },
  );

  test.skipIf(inject('server').version < 17)('makes the slot that --slot names with the options of the file', async () => {
    const cwd = await folder({
      'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
        export default defineConfig({ slot: { name: 'other', failover: true }, watchers: defineWatchers([['users', 'inserted']]) });`,
    });
    const { stdout } = await cli(['setup', '--slot', name(), '--print'], { url: db.url, cwd });
    expect(stdout).toMatch(/pg_create_logical_replication_slot\('\S+', 'pgoutput', false, false, true\)/);
  }); // prettier-ignore

  test('asks on a terminal, and anything but yes changes nothing', async () => {
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

  test('without a terminal to ask on, it says so, ends with 2 and changes nothing', async () => {
    const slot = name();
    const { code, stderr } = await cli(['setup'], { url: db.url, cwd: await configured(slot) });
    expect(code).toBe(2);
    expect(stderr).toBe(
      'walwatch: this is no terminal to ask on, so nothing was changed\n  --yes does it without asking.\n',
    );
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
  });

  test('takes back what it has changed at a Ctrl-C, which npx makes two signals', async () => {
    const slot = name();
    const writer = await db.client();
    await writer.query(`begin; insert into roles (name) values ('x')`);
    const running = startCli(['setup', '--yes'], { url: db.url, cwd: await configured(slot) });
    const waiting = `select from pg_replication_slots where slot_name = '${slot}' and confirmed_flush_lsn is null`;
    await until(async () => (await db.sql(waiting)).length > 0, { describe: 'it to wait', timeout: 20_000 });
    running.child.kill('SIGINT');
    await new Promise(setImmediate);
    running.child.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('taking back') });
    await writer.query('rollback');
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    expect(await identity('users')).toBe('d');
  });

  test('goes on although nobody reads what it says', async () => {
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

  test('refuses what does not fit, all of it at once, before it changes anything', async () => {
    const slot = name();
    const args = [
      'setup',
      'bare:updated',
      'users:updated',
      'nowhere:deleted',
      '--columns',
      'no_column',
      '--slot',
      slot,
      '--yes',
    ];
    const { code, stdout, stderr } = await cli(args, { url: db.url });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('"public"."bare" has no primary key');
    expect(stderr).toContain(`"public"."users" has no column 'no_column'`);
    expect(stderr).toContain('table "public"."nowhere" does not exist');
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
  });

  test('does not make a lost slot anew behind anybody’s back: teardown and setup do', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await cli(['setup', '--yes'], options);
    await db.dropSlot(slot);
    const { code, stderr } = await cli(['setup', '--yes'], options);
    expect(code).toBe(1);
    expect(stderr).toContain(`SLOT_LOST: the slot '${slot}' was dropped`);
    expect((await cli(['teardown', '--yes'], options)).code).toBe(0);
    expect((await cli(['setup', '--yes'], options)).code).toBe(0);
    await state(slot);
  });

  test('tells a role without rights to let an owner run what --print prints', async () => {
    const slot = name();
    const role = `cli_${slot}`;
    await db.sql(`create role ${role} login replication`);
    onTestFinished(() => db.sql(`drop role ${role}`).then(() => {}));
    const url = new URL(db.url);
    url.username = role;
    const { code, stderr } = await cli(['setup', '--yes'], { url: url.href, cwd: await configured(slot) });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^walwatch: PERMISSION: must be owner of table users\n.*walwatch setup --print/);
  });
});

describe("the worker's role", () => {
  const needing = (slot: string) =>
    folder({
      'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
        export default defineConfig({ slot: '${slot}', watchers: defineWatchers([['users', 'inserted']]) });
        export function subscribe(watch) { watch.subscribe('users:inserted', () => {}, { name: 'mover', transaction: true }); }`,
    });

  test('gets its rights on the tables of walwatch, also when those are there already', async () => {
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
      stdout: expect.stringMatching(/^-- A table .* for the role \S+: .* --role\.$/m),
    });
    expect(await may()).toBe(false);
    const second = await cli(['setup', '--role', role, '--yes'], options);
    expect(second).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`GRANT SELECT, INSERT, UPDATE ON walwatch.positions TO "${role}";`),
    });
    expect(await may()).toBe(true);
    expect((await cli(['setup', '--role', role, '--yes'], options)).stdout).toContain('is set up already');
  });

  test('that does not exist is a usage error', async () => {
    const slot = name();
    const ended = await cli(['setup', '--role', 'nobody_at_all', '--yes'], { url: db.url, cwd: await needing(slot) });
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining("there is no role 'nobody_at_all'") });
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
  });
});

describe('teardown', () => {
  test('drops slot and publication, leaves replica identities as they are, and can be run again', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await cli(['setup', '--yes'], options);
    const { code, stdout } = await cli(['teardown', '--yes'], options);
    expect(code).toBe(0);
    expect(stdout).toContain(`SELECT pg_catalog.pg_drop_replication_slot('${slot}');\nDROP PUBLICATION "${slot}";`);
    expect(await identity('users')).toBe('f');
    expect(await db.sql('select from pg_replication_slots where slot_name = $1', [slot])).toEqual([]);
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);
    const again = await cli(['teardown', '--yes'], options);
    expect(again).toMatchObject({ code: 0, stdout: `✓ nothing is left of '${slot}'.\n` });
  });

  test('leaves a publication that walwatch did not make, without a trace of its own', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await db.sql(`create publication "${slot}" for table roles; comment on publication "${slot}" is 'of the DBA'`);
    // The SQL was shown, so setup adds what is missing; it is no owner's consent to drop it.
    await cli(['setup', '--yes'], options);
    const { code, stdout } = await cli(['teardown', '--yes'], options);
    expect(code).toBe(0);
    expect(stdout).toContain('-- The publication stays, because walwatch did not make it.');
    const [left] = await db.sql(
      `select obj_description(oid, 'pg_publication') as comment,
              (select string_agg(tablename, ' ' order by tablename) from pg_publication_tables where pubname = $1) as tables
       from pg_publication where pubname = $1`,
      [slot],
    );
    expect(left!['comment']).toMatch(/^of the DBA/);
    expect(left!['comment']).not.toContain('"slot"');
    expect(left!['tables']).toBe('packages roles users');
    expect((await cli(['teardown', '--yes'], options)).stdout).toBe(`✓ nothing is left of '${slot}'.\n`);
  });

  test('leaves a publication that another slot uses', async () => {
    const [first, second] = [name(), name()];
    await cli(['setup', '--yes'], { url: db.url, cwd: await configured(first) });
    await cli(['setup', '--yes'], { url: db.url, cwd: await configured(second, `publication: '${first}'`) });
    const { stdout } = await cli(['teardown', '--yes'], { url: db.url, cwd: await configured(first) });
    expect(stdout).not.toContain('DROP PUBLICATION');
    const [left] = await db.sql(
      `select obj_description(oid, 'pg_publication') as comment from pg_publication where pubname = $1`, [first],
    ); // prettier-ignore
    expect(left!['comment']).toContain(`"slot":"${second}"`);
    expect(left!['comment']).not.toContain(`"slot":"${first}"`);
    const last = await cli(['teardown', '--yes'], {
      url: db.url,
      cwd: await configured(second, `publication: '${first}'`),
    });
    expect(last.stdout).toContain('DROP PUBLICATION');
    expect(last.code).toBe(0);
  });

  test('refuses while a worker has the slot, and asks on a terminal', async () => {
    const slot = name();
    const options = { url: db.url, cwd: await configured(slot) };
    await cli(['setup', '--yes'], options);
    const worker = createWatch({ connection: db.url, slot, watchers });
    await worker.start();
    const refused = await cli(['teardown', '--yes'], options);
    await worker.stop();
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/SLOT_ACTIVE: a worker has the slot .* \(process \d+\)\n {2}-- Stop it first/);
    await until(
      async () =>
        (await db.sql('select from pg_replication_slots where slot_name = $1 and not active', [slot])).length > 0,
      { describe: 'the worker to have gone' },
    );
    const printed = await cli(['teardown', '--print'], options);
    expect(printed).toMatchObject({ code: 0, stdout: expect.stringContaining('DROP PUBLICATION'), stderr: '' });
    const asked = startOnTerminal(['teardown'], options);
    await asked.says(/Run this\?/);
    asked.type('y\n');
    expect((await asked.ended).code).toBe(0);
    expect(await onTerminal(['teardown'], options)).toMatchObject({ code: 0 });
  });
});
