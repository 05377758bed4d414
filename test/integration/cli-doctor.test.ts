/** doctor: it finds problems, and its fixes work. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readFacts } from '../../src/cli/facts.ts';
import { cli, folder, onTerminal } from '../support/cli.ts';
import { startCluster } from '../support/cluster.ts';
import { createDatabase, useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName, watchOn } from '../support/watching.ts';
import { defineWatchers } from '../../src/index.ts';

interface Check {
  readonly name: string;
  readonly level: 'ok' | 'warning' | 'problem';
  readonly found: string;
  readonly why: string;
  readonly fix?: string;
}

async function examine(url: string, args: readonly string[], cwd?: string): Promise<{ code: number; checks: Check[] }> {
  const { code, stdout, stderr } = await cli(['doctor', '--json', ...args], { url, ...(cwd !== undefined && { cwd }) });
  expect(stderr).toBe('');
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Check[] };
  expect(ok).toBe(checks.every(({ level }) => level !== 'problem'));
  expect(code).toBe(ok ? 0 : 1);
  for (const check of checks) {
    expect(check).toMatchObject({ found: expect.stringMatching(/./), why: expect.stringMatching(/./) });
    if (check.level !== 'ok') expect(check.fix).toMatch(/./);
  }
  return { code, checks };
}

const named = (checks: readonly Check[], name: string) => checks.filter((check) => check.name === name);

describe('on a correct server', () => {
  const db = useDatabase();
  const watchOf = watchOn(db);
  beforeAll(() => db.sql('create table bare (line text)'));

  test('the same problem of many tables is printed once, with some names; --json has a check for each', async () => {
    const tables = Array.from({ length: 40 }, (_, index) => `alike_${index}`);
    for (const table of tables) await db.sql(`create table ${table} (id int)`);
    const args = tables.map((table) => `${table}:inserted`);
    const { checks } = await examine(db.url, args);
    expect(checks.filter(({ found }) => found.endsWith('has no primary key'))).toHaveLength(40);
    const { stdout } = await cli(['doctor', ...args], { url: db.url });
    expect(stdout.match(/has no primary key$/gm)).toHaveLength(1);
    expect(stdout).toContain(
      'the same for 39 others: alike_1:inserted, alike_2:inserted, alike_3:inserted, alike_4:inserted, alike_5:inserted, …',
    );
    expect(stdout).toMatch(/^✗ 40 problems/m);
    const setup = await cli(['setup', ...args, '--slot', slotName(), '--print'], { url: db.url });
    expect(setup.stderr.match(/has no primary key/g)).toHaveLength(1);
    expect(setup.stderr).toMatch(/40 problems:[^]*the same for 39 others/);
  });

  test('each requirement is a line with the current state and the reason, on a terminal and in a pipe', async () => {
    const slot = slotName();
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const args = ['users:inserted', 'packages:deleted', '--slot', slot];
    await cli(['setup', ...args, '--yes'], { url: db.url });
    const { code, checks } = await examine(db.url, args);
    expect(code).toBe(0);
    expect(checks.map(({ name }) => name)).toEqual([
      'connection', 'server version', 'direct connection', 'TLS', 'wal_level', 'right to replicate', 'replication slots',
      'walsenders', 'wal_sender_timeout', 'max_slot_wal_keep_size', 'synchronous_standby_names', 'replication connection',
      'users:inserted', 'packages:deleted', `publication '${slot}'`, `slot '${slot}'`, 'retained WAL',
      "rights for manage: 'create'", 'long transactions', 'other slots',
    ]); // prettier-ignore
    const piped = await cli(['doctor', ...args], { url: db.url });
    expect(piped.stdout).toMatch(/^✓ wal_level: logical – below logical, the WAL/m);
    expect(piped.stdout).toMatch(/^! max_slot_wal_keep_size: no limit\n {4}why: .+\n {4}fix: ALTER SYSTEM SET/m);
    expect(piped.stdout).toMatch(/\n\n✓ no problems, \d warnings?\n$/);
    const shown = await onTerminal(['doctor', ...args], { url: db.url });
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain('\u001b[32m✓\u001b[0m');
  });

  test('without slot and watchers it checks only the server, with a warning for each', async () => {
    const { code, checks } = await examine(db.url, []);
    expect(code).toBe(0);
    expect(named(checks, 'slot')).toMatchObject([{ level: 'warning', found: 'none configured' }]);
    expect(named(checks, 'watchers')).toMatchObject([{ level: 'warning', found: 'none configured' }]);
  });

  test('the fixes for tables, keys and replica identities are SQL that works', async () => {
    const slot = slotName();
    const cwd = await folder({
      'walwatch.config.mjs': `import { defineWatchers } from 'walwatch';
        export default { slot: '${slot}', manage: 'verify', watchers: defineWatchers([
          ['users', 'updated', { label: 'moved', triggerColumns: ['role_id'] }], ['bare', 'inserted'], ['roles', 'deleted', { extraColumns: ['nome'] }],
        ]) };`,
    });
    const { code, checks } = await examine(db.url, [], cwd);
    expect(code).toBe(1);
    const [moved] = named(checks, 'moved');
    expect(moved).toMatchObject({ level: 'problem', fix: 'ALTER TABLE "public"."users" REPLICA IDENTITY FULL;' });
    expect(named(checks, 'bare:inserted')).toMatchObject([
      { level: 'problem', found: '"public"."bare" has no primary key' },
    ]);
    expect(named(checks, 'roles:deleted')).toMatchObject([{ level: 'problem', fix: 'The table has: id, name.' }]);
    expect(named(checks, `slot '${slot}'`)).toMatchObject([{ level: 'problem', found: 'does not exist yet' }]);
    onTestFinished(() => db.sql('alter table users replica identity default').then(() => {}));
    await db.sql(moved!.fix!);
    expect(named((await examine(db.url, [], cwd)).checks, 'moved')).toMatchObject([{ level: 'ok' }]);
  });

  test('a publication that does not fit the watchers is reported with the SQL that fixes it', async () => {
    const slot = slotName();
    onTestFinished(() => dropSlotAndPublication(db, slot));
    const about = async (...watchers: string[]) => {
      const { checks } = await examine(db.url, [...watchers, '--slot', slot]);
      return named(checks, `publication '${slot}'`)[0]!;
    };
    const missing = await about('users:inserted');
    expect(missing).toMatchObject({ level: 'warning', found: 'does not exist yet' });
    await db.sql(missing.fix!.split(';')[0]!);
    expect(await about('users:inserted')).toMatchObject({ level: 'ok' });
    const narrow = await about('users:inserted', 'roles:deleted');
    // A worker must not change it: it may have other readers.
    expect(narrow).toMatchObject({ level: 'problem', found: 'lacks something that the watchers need' });
    for (const statement of narrow.fix!.split(';').slice(0, -1)) await db.sql(statement);
    expect(await about('users:inserted', 'roles:deleted')).toMatchObject({ level: 'ok' });
    const wide = await about('roles:deleted');
    expect(wide).toMatchObject({ level: 'warning', found: 'has more than the watchers need' });
    expect(wide.fix).toContain('DROP TABLE ONLY "public"."users"');
  });

  test('a slot is shown with its reader; a slot of another plugin or a dropped one is a problem', async () => {
    const slot = slotName();
    const watch = watchOf(defineWatchers([['users', 'inserted']]), { slot });
    await watch.start();
    const about = async () =>
      named((await examine(db.url, ['users:inserted', '--slot', slot])).checks, `slot '${slot}'`)[0]!;
    expect(await about()).toMatchObject({
      level: 'ok',
      found: expect.stringMatching(/process \d+ sends changes to walwatch\//),
    });
    await watch.stop();
    await db.dropSlot(slot);
    expect(await about()).toMatchObject({ level: 'problem', found: expect.stringContaining('was dropped') });
    await db.sql(`select pg_create_physical_replication_slot($1)`, [slot]);
    expect(await about()).toMatchObject({ level: 'problem', found: expect.stringContaining('physical') });
  });

  test('missing rights of a role are reported with the GRANT', async () => {
    const role = slotName();
    await db.sql(`create role ${role} login`);
    onTestFinished(() => db.sql(`drop role ${role}`).then(() => {}));
    const url = new URL(db.url);
    url.username = role;
    const { code, checks } = await examine(url.href, ['users:inserted', '--slot', slotName()]);
    expect(code).toBe(1);
    expect(named(checks, 'right to replicate')).toMatchObject([
      { level: 'problem', fix: `ALTER ROLE "${role}" REPLICATION;` },
    ]);
    expect(named(checks, 'replication connection')).toMatchObject([{ level: 'problem' }]);
    expect(named(checks, "rights for manage: 'create'")).toMatchObject([
      { level: 'problem', found: 'missing: CREATE on the database; ownership of public.users' },
    ]);
    await db.sql(named(checks, 'right to replicate')[0]!.fix!);
    const granted = await examine(url.href, ['users:inserted', '--slot', slotName()]);
    expect(named(granted.checks, 'right to replicate')).toMatchObject([{ level: 'ok' }]);
    expect(named(granted.checks, 'replication connection')).toMatchObject([{ level: 'ok' }]);
  });
});

describe('behind a pooler', () => {
  const db = useDatabase();

  test('the pooler is found, because another process answers than the one named at connect', async () => {
    const target = new URL(db.url);
    const sockets = new Set<Socket>();
    // Like a pooler, it hands out its own keys for cancelling queries: BackendKeyData, https://www.postgresql.org/docs/current/protocol-message-formats.html
    const pooler = createServer((client) => {
      const server = connect(Number(target.port || 5432), target.hostname);
      for (const socket of [client, server])
        sockets.add(socket.on('error', () => {}).on('close', () => socket.destroy()));
      client.pipe(server);
      let introduced = false;
      server.on('data', (bytes) => {
        const key = introduced ? -1 : bytes.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
        if (key !== -1) bytes.writeInt32BE(1_000_000, key + 5);
        introduced ||= key !== -1;
        client.write(bytes);
      });
      client.on('close', () => server.destroy());
      server.on('close', () => client.destroy());
    });
    await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve));
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => pooler.close(resolve));
    });
    const url = new URL(db.url);
    url.hostname = '127.0.0.1';
    url.port = String((pooler.address() as AddressInfo).port);
    const { code, checks } = await examine(url.href, []);
    expect(code).toBe(1);
    expect(named(checks, 'direct connection')).toMatchObject([
      { level: 'problem', found: 'the connection goes through a pooler' },
    ]);
  });
});

describe('long transactions', () => {
  const db = useDatabase();

  test('are reported, prepared ones too, with the statement that ends them', async () => {
    const writer = await db.client();
    await writer.query(`set application_name = 'forgetful'`);
    await writer.query('begin');
    await writer.query(`insert into roles (name) values ('x')`);
    await db.sql(`begin; insert into roles (name) values ('y'); prepare transaction 'it''s ${db.name}'`);
    const found = async () => {
      const { transactions } = await readFacts(await db.client(), [], 'none', 0);
      return transactions.filter(({ who }) => who.includes('forgetful') || who.includes(db.name));
    };
    const both = await found();
    expect(both.map(({ who }) => who).toSorted()).toEqual([
      expect.stringMatching(/^process \d+ \(forgetful\)$/),
      `the prepared transaction 'it''s ${db.name}'`,
    ]);
    for (const { end } of both) await db.sql(end);
    await until(async () => (await found()).length === 0, { describe: 'their end' });
  });
});

test('on a misconfigured server every requirement is reported with its setting', async () => {
  await using cluster = await startCluster({
    settings: {
      wal_level: 'replica', max_replication_slots: 0, max_wal_senders: 0, wal_sender_timeout: 0, max_slot_wal_keep_size: '64MB',
      synchronous_standby_names: '*', synchronous_commit: 'local',
    },
  }); // prettier-ignore
  await using db = await createDatabase(cluster.url);
  const { code, checks } = await examine(db.url, ['users:inserted', '--slot', 'a']);
  expect(code).toBe(1);
  const level = (name: string) => named(checks, name).map((check) => [check.level, check.fix?.slice(0, 45)]);
  expect(level('wal_level')).toEqual([['problem', "ALTER SYSTEM SET wal_level = 'logical';\n-- an"]]);
  expect(level('replication slots')).toEqual([['problem', 'ALTER SYSTEM SET max_replication_slots = 10;\n']]);
  expect(level('walsenders')).toEqual([['problem', 'ALTER SYSTEM SET max_wal_senders = 10;\n-- and']]);
  expect(level('wal_sender_timeout')).toEqual([['warning', "ALTER SYSTEM SET wal_sender_timeout = '60s'; "]]);
  expect(level('synchronous_standby_names')).toEqual([['problem', '-- Name only real standbys: ALTER SYSTEM SET ']]);
  expect(level('replication connection')).toEqual([['problem', expect.anything()]]);
  expect(named(checks, 'max_slot_wal_keep_size')).toMatchObject([{ level: 'ok', found: '64 MB' }]);
});

test('slots that fill the disk are reported: the unread slot near its limit, and another slot', async () => {
  await using cluster = await startCluster({ settings: { max_slot_wal_keep_size: '136MB' } });
  await using db = await createDatabase(cluster.url);
  const args = ['users:inserted', '--slot', 'own'];
  expect((await cli(['setup', ...args, '--yes'], { url: db.url })).code).toBe(0);
  await db.sql(`select pg_create_logical_replication_slot('forgotten', 'pgoutput')`);
  // Each switch completes a segment of 16 MB.
  for (let i = 0; i < 8; i++) {
    await db.sql(`select pg_logical_emit_message(false, 'x', 'x')`);
    await db.sql('select pg_switch_wal()');
  }
  const { checks } = await examine(db.url, args);
  expect(named(checks, 'retained WAL')).toMatchObject([
    {
      level: 'warning',
      found: expect.stringMatching(/^1\d\d MB \(\d\d % of the limit, 136 MB\)$/),
      fix: expect.stringContaining('Start its worker'),
    },
  ]);
  const [others] = named(checks, 'other slots');
  expect(others).toMatchObject({
    level: 'warning',
    found: expect.stringMatching(/^'forgotten' retains 1\d\d MB and has no reader$/),
  });
  expect(others!.fix).toContain(`-- SELECT pg_catalog.pg_drop_replication_slot('forgotten');`);
  await inSession(db.url, (client) => client.query(`select pg_drop_replication_slot('forgotten')`));
  expect((await cli(['teardown', '--slot', 'own', '--yes'], { url: db.url })).code).toBe(0);
  await until(async () => (await db.sql('select from pg_replication_slots')).length === 0, { describe: 'no slots' });
});
