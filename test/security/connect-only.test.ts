/** What a role that may only connect to the database can do to a worker. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type WatchError } from '../../src/index.ts';
import { cli, folder } from '../support/cli.ts';
import { startCluster } from '../support/cluster.ts';
import { createDatabase, useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, slotName, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const suffix = randomBytes(4).toString('hex');
const [mallory, worker, app] = [`mallory_${suffix}`, `worker_${suffix}`, `app_${suffix}`];
const watchers = defineWatchers<{ users: { id: number } }>()([['users', 'inserted']]);

const as = (role: string) => {
  const url = new URL(db.url);
  url.username = role;
  return url.href;
};

beforeAll(() => db.sql(`create role ${mallory} login; create role ${app} login; create role ${worker} login`));
afterAll(() =>
  inSession(inject('server').url, async (client) => {
    for (const role of [mallory, worker, app]) {
      await inSession(db.url, (session) => session.query(`drop owned by ${role}`));
      await client.query(`drop role ${role}`);
    }
  }),
);

/** The first error or warning that the watch survives. */
async function complaint(watch: ReturnType<typeof createWatch<any>>): Promise<WatchError> {
  const told = new Promise<WatchError>((resolve) => {
    watch.on('disconnected', ({ error }) => error && resolve(error));
    watch.on('warning', resolve);
  });
  watch.start().catch(() => {}); // it is stopped at the end
  return told;
}

const locks = [
  ['the first start', ['walwatch setup', '$slot'], 'SLOT_BLOCKED', {}],
  ['a change of the publication', ['walwatch', '$slot'], 'SERVER_BUSY', {}],
  [
    'the publication of a temporary slot',
    ['walwatch_live_', 'walwatch_live_$slot'],
    'SLOT_BLOCKED',
    { temporary: true },
  ],
] as const;

test.each(locks)(
  'its advisory lock delays %s only for a while, and the error names the lock and how to end it',
  async (_, [space, object], code, { temporary = false }: { temporary?: boolean }) => {
    const slot = slotName();
    const holder = await db.client({ connectionString: as(mallory), application_name: 'innocent' });
    await holder.query('select pg_advisory_lock(hashtext($1), hashtext($2))', [space, object.replace('$slot', slot)]);
    const { rows } = await holder.query('select pg_backend_pid() as pid');
    const options = temporary ? { slot: { temporary, name: `walwatch_live_${slot}` } } : { slot };
    const watch = createWatch({ connection: db.url, watchers, ...options });
    onTestFinished(async () => {
      await watch.stop();
      if (!temporary) await dropSlotAndPublication(db, slot);
    });
    const error = await complaint(watch);
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(`pid ${rows[0].pid} (role '${mallory}', application_name 'innocent', since `),
    });
    // The solution is SQL that works, and then the worker starts.
    await db.sql(/SELECT pg_catalog\.pg_terminate_backend\(\d+\);/.exec(error.solution!)![0]);
    await until(() => watch.status().state === 'streaming', {
      describe: () => JSON.stringify(watch.status()),
      timeout: 30_000,
    });
  },
);

test('the same holds for the lock of a prepared transaction, which has no session', async () => {
  // It blocks the slots of all databases of its server.
  await using cluster = await startCluster();
  await using own = await createDatabase(cluster.url);
  await own.sql(`create role mallory login`);
  const slot = slotName();
  await own.sql(
    `begin; set local role mallory; select pg_advisory_xact_lock(hashtext('walwatch setup'), hashtext('${slot}')); prepare transaction 'it''s'`,
  );
  const watch = createWatch({ connection: own.url, watchers, slot });
  const error = await complaint(watch);
  expect(error.message).toMatch(/held by the prepared transaction 'it''s' \(role '\w+', since /);
  await own.sql(/ROLLBACK PREPARED '.*?';/.exec(error.solution!)![0]);
  await until(() => watch.status().state === 'streaming', { describe: 'the start', timeout: 30_000 });
  await watch.stop();
  await dropSlotAndPublication(own, slot);
});

test('a large message of another prefix costs the worker nothing', async () => {
  const watch = watchOf(watchers);
  const seen: number[] = [];
  watch.subscribe('users:inserted', ({ id }) => void seen.push(id));
  await watch.start();
  const before = process.memoryUsage().rss;
  await inSession(as(mallory), (client) =>
    client.query(`select pg_logical_emit_message(true, 'x', repeat('x', 200000000))`),
  );
  await db.sql(`insert into users (name) values ('after')`);
  await until(() => seen.length === 1, { describe: 'the event after it', timeout: 30_000 });
  expect(process.memoryUsage().rss - before).toBeLessThan(150e6);
  await settled(db, watch);
});

const roleFile = () => readFile(new URL('../../sql/role.sql', import.meta.url), 'utf8');
const named = (text: string) =>
  text
    .replaceAll(/\bwalwatch\b/g, worker)
    .replaceAll(/\baccounts_app\b/g, app)
    .replaceAll(/\baccounts\b/g, db.name);

test('with the optional step of sql/role.sql it cannot forge a message; the application and the worker still write theirs', async () => {
  const emit = (role: string, flags = `true, 'outbox', '${role}'`) =>
    inSession(as(role), (client) => client.query(`select pg_logical_emit_message(${flags})`));
  const watch = watchOf(watchers, { heartbeat: 1000 });
  const heard: string[] = [];
  watch.onMessage('outbox', ({ content }) => void heard.push(content.toString()));
  await watch.start();
  const cwd = await folder({
    'walwatch.config.mjs': `export default { slot: 'none_${suffix}', watchers: { entries: [['users', 'inserted']] } };
      export function subscribe(watch) { watch.onMessage('outbox', () => {}); }`,
  });
  const check = async () =>
    JSON.parse((await cli(['doctor', '--json'], { url: db.url, cwd })).stdout).checks.find(
      ({ name }: { name: string }) => name === 'logical messages',
    );
  await emit(mallory); // PostgreSQL's default
  expect(await check()).toMatchObject({ level: 'warning', fix: expect.stringMatching(/^REVOKE EXECUTE/) });

  const text = await roleFile();
  const step = /^-- DO \$\$ DECLARE[^]*?^-- END \$\$;$/m.exec(text)![0].replaceAll(/^-- ?/gm, '');
  onTestFinished(() =>
    db
      .sql(
        `do $$ declare f regprocedure; begin
    for f in select oid from pg_proc where proname = 'pg_logical_emit_message' loop execute format('grant execute on function %s to public', f); end loop; end $$`,
      )
      .then(() => {}),
  );
  await db.sql(named(text));
  await db.sql(named(step));
  for (const flags of [
    `true, 'outbox', 'forged'`,
    `false, 'outbox', 'forged'`,
    `true, 'outbox', 'forged'::bytea`,
    `true, 'outbox', '\\x00'::bytea`,
  ]) {
    await expect(emit(mallory, flags)).rejects.toThrow('permission denied for function pg_logical_emit_message');
  }
  await emit(app);
  await emit(worker);
  await until(() => heard.length === 3, { describe: () => heard.join() });
  expect(heard).toEqual([mallory, app, worker]);
  expect(await check()).toBeUndefined();
  expect(JSON.parse((await cli(['doctor', '--json'], { url: as(mallory) })).stdout).checks).toContainEqual(
    expect.objectContaining({
      name: 'logical messages',
      level: 'warning',
      found: `the role '${mallory}' may not write them`,
    }),
  );
});

test('after sql/role.sql it can create nothing in the schema public, even on PostgreSQL 14', async () => {
  await db.sql('grant create on schema public to public'); // the default up to PostgreSQL 14, and in upgraded databases
  await inSession(as(mallory), (client) => client.query('create table public.planted (); drop table public.planted'));
  await db.sql(named(await roleFile()));
  await db.sql(named(await roleFile()));
  for (const made of [
    'table public.planted ()',
    'function public.format(text, name) returns text language sql return null',
    'operator public.= (function = int4eq, leftarg = regclass, rightarg = oid)',
  ]) {
    await expect(inSession(as(mallory), (client) => client.query(`create ${made}`))).rejects.toThrow(
      /permission denied|syntax/,
    );
  }
});
