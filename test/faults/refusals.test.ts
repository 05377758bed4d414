/** Errors of the server: reported by name, permanent only if waiting cannot help. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientConfig } from 'pg';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchError, type WatchOptions } from '../../src/index.ts';
import { wantedVersion } from '../support/binaries.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { recorder } from '../support/recorder.ts';
import { inSession } from '../support/template.ts';
import { deferred, until } from '../support/until.ts';
import { slotName } from '../support/watching.ts';

const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
type Watch = SlotWatch<typeof watchers>;

const run = (cluster: Cluster, text: string) =>
  inSession(cluster.url, async (client) => (await client.query(text)).rows as Record<string, unknown>[]);

async function withEntries(cluster: Cluster): Promise<Cluster> {
  await run(cluster, 'create table entries (id int generated always as identity primary key, note text)');
  return cluster;
}

function watchOn(options: Partial<WatchOptions<typeof watchers>> & { connection: string | ClientConfig }) {
  const watch: Watch = createWatch({ slot: slotName(), watchers, stopTimeout: 50, ...options });
  onTestFinished(() => watch.stop());
  const seen: number[] = [];
  const errors: WatchError[] = [];
  let connects = 0;
  watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
  watch.on('disconnected', ({ error }) => void errors.push(error!));
  watch.on('connected', () => void connects++);
  return { watch, seen, errors, connects: () => connects };
}

/** `error` has the cause and the solution, and no secret. */
const refused = (watch: Watch) => watch.start().catch((error: unknown) => error as WatchError);

describe('WAL that the slot needs is gone from pg_wal, while the catalog still lists it', () => {
  const lose = async (onLost: 'stop' | 'recreate') => {
    const cluster = await withEntries(await startCluster());
    onTestFinished(() => cluster[Symbol.asyncDispose]());
    const slot = { name: slotName(), onLost };
    const first = watchOn({ connection: cluster.url, slot });
    await first.watch.start();
    await first.watch.stop();
    for (let segment = 0; segment < 3; segment++)
      await run(cluster, `insert into entries default values; select pg_switch_wal(); checkpoint`);
    const [row] = await run(cluster, 'select pg_walfile_name(pg_current_wal_lsn()) as name');
    const folder = join(cluster.dataDirectory, 'pg_wal');
    for (const name of await readdir(folder))
      if (/^[0-9A-F]{24}$/.test(name) && name < String(row!['name'])) await rm(join(folder, name));
    const slots = await run(cluster, 'select wal_status from pg_replication_slots');
    expect(slots).not.toEqual([{ wal_status: 'lost' }]);
    return { cluster, ...watchOn({ connection: cluster.url, slot }) };
  };

  test('the slot is lost, at once', async () => {
    const { watch, connects } = await lose('stop');
    const closed = watch.closed.catch((error: unknown) => error);
    await watch.start().catch(() => {});
    expect(await closed).toMatchObject({
      code: 'SLOT_LOST',
      message: expect.stringMatching(/has already been removed.*changes after [0-9A-F]+\/[0-9A-F]+/),
    });
    expect(connects()).toBeLessThanOrEqual(1);
  });

  test('onLost: recreate creates a new one, and reports the gap', async () => {
    const { cluster, watch, seen, errors } = await lose('recreate');
    const gaps = recorder();
    watch.on('gap', gaps);
    await watch.start();
    await until(() => gaps.all.length > 0, { describe: 'the gap' });
    const lsn = expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/);
    expect(gaps.all).toEqual([{ from: lsn, to: lsn, reason: expect.stringContaining('has already been removed') }]);
    expect(errors.map(({ code }) => code)).toEqual(['SLOT_LOST']);
    const [entry] = await run(cluster, 'insert into entries default values returning id');
    await until(() => seen.length > 0, { describe: 'an event after the gap' });
    expect(seen).toEqual([entry!['id']]);
  });
});

test('max_replication_slots = 0 is reported as the cause', async () => {
  const cluster = await withEntries(await startCluster({ settings: { max_replication_slots: 0 } }));
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  expect(await refused(watchOn({ connection: cluster.url }).watch)).toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringMatching(/max_replication_slots"? > 0/),
    solution: expect.stringContaining('max_replication_slots'),
  });
});

describe('on one server', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await withEntries(
      await startCluster({ hba: ['host all postgres 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'] }),
    );
    return () => cluster[Symbol.asyncDispose]();
  });
  const sql = (text: string) => run(cluster, text);
  let roles = 0;
  /** Owns the table from now on. */
  const makeRole = async (): Promise<string> => {
    const role = `worker_${++roles}`;
    await sql(`create role ${role} login replication password 'right'; grant create on database postgres to ${role}`);
    await sql(`alter table entries owner to ${role}`);
    return role;
  };
  const connectionOf = (user: string, password: ClientConfig['password'] = 'right'): ClientConfig => ({
    host: '127.0.0.1', port: cluster.port, database: 'postgres', user, ...(password !== undefined && { password }),
  }); // prettier-ignore
  /** Ends the sessions of a role, as a restart does. */
  const terminate = (role: string) =>
    sql(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);

  test('a role that is read-only by default: a configuration error, with the statement that fixes it', async () => {
    const role = await makeRole();
    await sql(`alter role ${role} set default_transaction_read_only = on`);
    const error = await refused(watchOn({ connection: connectionOf(role) }).watch);
    expect(error).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining('default_transaction_read_only is on'),
      solution: expect.stringContaining('SET default_transaction_read_only = off'),
    });
    await sql(`alter role ${role} set default_transaction_read_only = off`);
    await watchOn({ connection: connectionOf(role) }).watch.start();
  });

  test('an event trigger that refuses publications: its text, its name, and a solution', async () => {
    const role = await makeRole();
    await sql(`create function no_ddl() returns event_trigger language plpgsql as $$ begin raise exception 'not on a Friday'; end $$;
               create event trigger no_publications on ddl_command_start when tag in ('CREATE PUBLICATION') execute function no_ddl()`);
    onTestFinished(() => void sql('drop event trigger no_publications'));
    expect(await refused(watchOn({ connection: connectionOf(role) }).watch)).toMatchObject({
      code: 'PERMISSION',
      message: expect.stringMatching(/event trigger.*not on a Friday.*no_ddl\(\)/),
      solution: expect.stringContaining("manage: 'verify'"),
    });
  });

  test('a missing password, where the server asks for one', async () => {
    const role = await makeRole();
    expect(await refused(watchOn({ connection: connectionOf(role, null as never) }).watch)).toMatchObject({
      code: 'AUTHENTICATION',
      message: 'the server asks for a password, but `connection` has none',
    });
  });

  test('a password function that returns nothing ends a first start, with an error that names it', async () => {
    const role = await makeRole();
    const nothing = (() => undefined) as unknown as () => string;
    expect(await refused(watchOn({ connection: connectionOf(role, nothing) }).watch)).toMatchObject({
      code: 'AUTHENTICATION',
      message: expect.stringContaining('returned undefined'),
    });
  });

  test('a password function that throws is called again', async () => {
    const role = await makeRole();
    let down = true;
    const password = () => {
      if (down) throw new Error('the token service is down');
      return 'right';
    };
    const { watch, errors } = watchOn({ connection: connectionOf(role, password) });
    const started = watch.start();
    await until(() => errors.length > 0, { describe: 'the first attempt' });
    expect(errors[0]).toMatchObject({
      code: 'AUTHENTICATION',
      message: expect.stringContaining('token service is down'),
    });
    down = false;
    await started;
  });

  test('one bad token at a reconnect does not end the watch', async () => {
    const role = await makeRole();
    let token = 'right';
    const { watch, errors, connects, seen } = watchOn({ connection: connectionOf(role, async () => token) });
    await watch.start();
    token = 'expired';
    await terminate(role);
    await until(() => errors.some(({ code }) => code === 'AUTHENTICATION'), { describe: 'the refusal' });
    expect(errors.at(-1)).toMatchObject({ code: 'AUTHENTICATION', retry: 'slowly' });
    token = 'right';
    await until(() => connects() === 2, { describe: 'the reconnect' });
    const [entry] = await sql('insert into entries default values returning id');
    await until(() => seen.length > 0, { describe: 'an event' });
    expect(seen).toEqual([entry!['id']]);
  });

  test('a database that is gone for a while after streaming is waited for', async () => {
    await sql('create database away');
    const url = new URL(cluster.url);
    url.pathname = '/away';
    await inSession(url.href, (client) =>
      client.query('create table entries (id int generated always as identity primary key)'),
    );
    const { watch, errors, connects } = watchOn({ connection: url.href });
    await watch.start();
    await sql('alter database away allow_connections false');
    await sql('alter database away rename to gone').catch(() => {});
    await sql(`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'away'`);
    await until(async () => (await sql('alter database away rename to gone').catch(() => undefined)) !== undefined, {
      describe: 'the new name',
    });
    await until(() => errors.some(({ code, message }) => code === 'AUTHENTICATION' && message.includes('"away"')), {
      describe: 'the refusal',
    });
    expect(watch.status().state).toBe('disconnected');
    await sql('alter database gone rename to away');
    await sql('alter database away allow_connections true');
    await until(() => connects() === 2, { describe: 'the reconnect' });
  });

  test('settings of a role that end sessions or statements do not end the stream', async () => {
    const role = await makeRole();
    const timeouts = [
      'statement_timeout',
      'lock_timeout',
      'idle_in_transaction_session_timeout',
      'idle_session_timeout',
    ];
    if (wantedVersion(process.env) >= 17) timeouts.push('transaction_timeout');
    for (const name of timeouts) await sql(`alter role ${role} set ${name} = '200ms'`);
    const { watch, errors, seen } = watchOn({
      connection: connectionOf(role),
      visibility: 'immediate',
      highWaterMark: 1024 * 1024,
    });
    await watch.start();
    // The walsender stays in this transaction for longer than any of the timeouts, while reading is paused.
    const release = deferred();
    watch.subscribe('entries:inserted', () => release.promise);
    await sql(
      `insert into entries (note) select repeat('x', 20_000) from generate_series(1, 4000)`.replace('20_000', '20000'),
    );
    await until(() => watch.status().undeliveredBytes >= 1024 * 1024, { describe: 'the reader to pause' });
    const paused = performance.now();
    await until(() => performance.now() - paused > 1000, { describe: 'several timeouts' });
    release.resolve();
    await until(() => seen.length === 4000, { describe: () => `all events, so far ${seen.length}`, timeout: 30_000 });
    expect(errors).toEqual([]);
  });

  test('SLOT_BLOCKED names the hidden session for an ordinary role, and the privilege to end it', async () => {
    const role = await makeRole();
    const release = deferred();
    const writing = inSession(cluster.url, async (client) => {
      await client.query(`set application_name = 'migration'; begin; select pg_current_xact_id()`);
      await release.promise;
      await client.query('rollback');
    });
    const { watch, errors } = watchOn({ connection: connectionOf(role) });
    const started = watch.start();
    await until(() => errors.length > 0, { describe: 'the first attempt to end', timeout: 30_000 });
    expect(errors[0]).toMatchObject({
      code: 'SLOT_BLOCKED',
      message: expect.stringMatching(/pid \d+ \(migration\)$/),
      solution: expect.stringMatching(/pg_signal_backend.*pg_read_all_stats/),
    });
    release.resolve();
    await writing;
    await started;
  });
});
