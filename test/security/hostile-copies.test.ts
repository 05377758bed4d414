/**
 * A role that may create in `public` (everybody, on PostgreSQL 14), or in a schema named like ours, defines operators,
 * functions, types and views that fit our SQL better than PostgreSQL's own. Whoever connects, and whatever they run: none of
 * them is run.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchOptions, type WatchError } from '../../src/index.ts';
import { cli, folder, startCli } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { plantCopies, whatRan, witness } from '../support/hostile-copies.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const id = randomBytes(4).toString('hex');
const [mallory, worker, dba] = [`mallory_${id}`, `worker_${id}`, `dba_${id}`];

// Registered before the database is created, so it runs after the database, with everything that they own, is dropped.
afterAll(() =>
  inSession(inject('server').url, (client) => client.query(`drop role if exists ${mallory}, ${worker}, ${dba}`)),
);
const db = useDatabase();
const watchOf = watchOn(db);
const filters = inject('server').version >= 15;
const where = `name <> 'nobody' and id * 2 > 0`;

const as = (role: string) => {
  const url = new URL(db.url);
  url.username = role;
  return url.href;
};
const read = (file: string) => readFile(new URL(`../../sql/${file}`, import.meta.url), 'utf8');

beforeAll(async () => {
  // The test's own sessions must not use the copies.
  const safe = `alter role current_user in database ${db.name} set search_path = pg_catalog, pg_temp`;
  await inSession(db.url, (client) => client.query(safe));
  await db.sql(`create role ${mallory} login`);
  await db.sql(`create role ${worker} login replication`);
  await db.sql(`create role ${dba} login superuser`);
  // The worst case: even PostgreSQL's own types and functions with the same arguments come second.
  for (const role of [worker, dba]) await db.sql(`alter role ${role} set search_path = "$user", public, pg_catalog`);
  await db.sql(`grant create on schema public to ${mallory}`);
  for (const schema of [worker, dba]) await db.sql(`create schema ${schema} authorization ${mallory}`);
  await db.sql(`grant create on database ${db.name} to ${worker}`);
  for (const table of ['users', 'packages']) await db.sql(`alter table public.${table} owner to ${worker}`);
  await db.sql(`create table public.effects (what pg_catalog.text)`);
  await db.sql(`grant all on public.effects to ${worker}, ${dba}`);
  await db.sql(witness);
  await inSession(as(mallory), async (client) => {
    for (const schema of [worker, dba]) await client.query(`grant usage on schema ${schema} to public`);
    const planted = await plantCopies(client, ['public', worker, dba]);
    expect(planted).toBeGreaterThan(10_000);
  });
}, 180_000);

const seen = () => whatRan(db);
const forget = async () => {
  await db.sql('truncate witness.ran');
  await db.sql(`select setval('witness.count', 1, false)`);
};

test('the copies run in an unprotected session', async () => {
  for (const statement of [
    'select 1::pg_catalog.numeric * 1::pg_catalog.int4',
    `select from pg_catalog.pg_class where 'pg_class'::pg_catalog.regclass = oid`,
    `select format('x'::pg_catalog.text, 'y'::pg_catalog.text)`,
    `select pg_drop_replication_slot('x'::pg_catalog.text)`,
    `select 'x'::text`,
    'select from pg_settings',
  ]) {
    await inSession(as(worker), (client) => client.query(statement));
    expect((await seen()).names, statement).toEqual([expect.stringContaining(` as ${worker}`)]);
    await forget();
  }
});

describe('no copy runs', () => {
  afterEach(async () => {
    const ran = await seen();
    await forget();
    expect(ran).toEqual({ calls: 0, names: [] });
  });

  /** Runs statements one after the other, as psql does. */
  async function runScript(url: string, sql: string): Promise<void> {
    const statements = sql.replaceAll(/^\s*--.*$/gm, '').match(/\s*(?:DO (\$\w*\$)[^]*?\1;|[^;]+;)/g)!;
    await inSession(url, async (client) => {
      for (const statement of statements) if (statement.trim() !== ';') await client.query(statement);
    });
  }

  describe.each(['worker', 'dba'] as const)('as the role of the %s', (who) => {
    const role = () => as(who === 'worker' ? worker : dba);
    beforeAll(() => db.sql('drop schema if exists walwatch cascade').then(() => {})); // the other role's

    const watchers = defineWatchers<{ users: { id: number; name: string | null }; packages: { id: number } }>()([
      ['users', 'inserted', { extraColumns: ['name'], ...(filters && { where }) }],
      ['packages', 'inserted'],
    ]);

    /** A worker with all features that run SQL of walwatch. */
    function everything(options: Partial<WatchOptions<typeof watchers>> = {}): {
      watch: SlotWatch<typeof watchers>;
      problems: string[];
      beats: () => number;
    } {
      const watch = watchOf(watchers, { connection: role(), heartbeat: 100, ...options });
      const problems: string[] = [];
      const note = ({ code, message }: WatchError) => {
        // Transactions of other test files may delay a slot.
        if (code !== 'SLOT_BLOCKED') problems.push(`${code}: ${message}`);
      };
      watch.on('warning', note);
      watch.on('disconnected', ({ error }) => error && note(error));
      let beats = 0;
      watch.onMessage(`walwatch:heartbeat:${watch.status().slot}`, () => void beats++);
      watch.subscribe('packages:inserted', async (event, { client }) => {
        await client.query('insert into public.effects values ($1)', [`package ${event.id}`]);
      }, { transaction: true, name: 'effects' }); // prettier-ignore
      watch.subscribe('users:inserted', ({ name }) => {
        if (name === 'bad') throw new Error('no');
      }, { name: 'mailer', onError: { attempts: 1, then: 'deadLetter' }, transaction: true }); // prettier-ignore
      return { watch, problems, beats: () => beats };
    }

    const write = async () => {
      await db.sql(`insert into public.users (name) values ('good'), ('bad')`);
      await db.sql(`insert into public.packages (name) values ('one')`);
    };

    test('at a first start, while it streams, at a heartbeat, in a transaction, and with a dead letter', async () => {
      const { watch, problems, beats } = everything({ publication: { columnLists: filters } });
      await watch.start();
      await write();
      await settled(db, watch);
      await until(() => beats() > 1, { describe: 'heartbeats' });
      const letters = [];
      for await (const letter of watch.deadLetters.list()) letters.push(letter);
      expect(letters).toHaveLength(1);
      expect(await watch.deadLetters.replay()).toBe(0);
      expect(await watch.deadLetters.discard({})).toBe(1);
      const [done] = await db.sql('select count(*)::int as count from public.effects');
      expect(done).toEqual({ count: 1 });
      await db.sql('truncate public.effects');
      await watch.stop();
      // A second run, with the dead letters and attempts of an earlier process.
      const again = everything({ slot: watch.status().slot });
      await again.watch.start();
      await write();
      await settled(db, again.watch);
      await again.watch.deadLetters.discard({});
      await db.sql('truncate public.effects');
      expect([...problems, ...again.problems]).toEqual([]);
    });

    test('with manage: verify, both set up by hand and refused with a solution', async () => {
      const slot = slotName();
      onTestFinished(() => dropSlotAndPublication(db, slot));
      const refused = everything({ slot, manage: 'verify' });
      await expect(refused.watch.start()).rejects.toMatchObject({ code: 'CONFIGURATION' });
      const made = await cli(['setup', '--print'], { url: as(dba), cwd: await configured(slot) });
      expect(made).toMatchObject({ code: 0, stderr: '' });
      await runScript(as(dba), made.stdout);
      const { watch, problems } = everything({ slot, manage: 'verify' });
      await watch.start();
      await write();
      await settled(db, watch);
      await watch.deadLetters.discard({});
      await db.sql('truncate public.effects');
      expect(problems).toEqual([]);
    });

    test('when a lost slot is re-created, and when a worker takes over from another', async () => {
      const { watch } = everything();
      const { slot } = watch.status();
      await watch.start();
      await watch.stop();
      await db.sql('select pg_drop_replication_slot($1)', [slot]);
      const recreating = everything({ slot: { name: slot, onLost: 'recreate' } });
      const gaps: string[] = [];
      recreating.watch.on('gap', ({ reason }) => void gaps.push(reason));
      await recreating.watch.start();
      expect(gaps).toEqual([expect.stringContaining('was dropped')]);
      const next = everything({ slot: { name: slot, takeover: 'terminate' } });
      await next.watch.start();
    });

    test('over a temporary slot', async () => {
      const { watch, problems } = everything({ slot: { temporary: true } });
      await watch.start();
      await db.sql(`insert into public.packages (name) values ('one')`);
      await until(async () => (await db.sql('select from public.effects')).length === 1, { describe: 'the effect' });
      await watch.stop();
      await db.sql('truncate public.effects');
      expect(problems).toEqual([]);
    });

    const configured = (slot: string) =>
      folder({
        'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
          export default defineConfig({ slot: '${slot}', watchers: defineWatchers([['users', 'inserted', { extraColumns: ['name']${filters ? `, where: "${where}"` : ''} }], ['packages', 'inserted']]) });
          export function subscribe(watch) {
            watch.subscribe('users:inserted', (event, { client }) => client.query('insert into public.effects values ($1)', [event.name]), { name: 'mailer', transaction: true });
          }`,
      });

    test('in any command of the command line', { timeout: 120_000 }, async () => {
      const slot = slotName();
      onTestFinished(() => dropSlotAndPublication(db, slot));
      const options = { url: role(), cwd: await configured(slot) };
      const run = async (code: number, ...args: string[]) => {
        const ended = await cli(args, options);
        expect(ended, args.join(' ')).toMatchObject({ code, stderr: expect.not.stringContaining('walwatch:') });
        return ended.stdout;
      };
      await cli(['doctor'], options);
      await run(0, 'setup', '--print');
      await run(0, 'setup', '--yes');
      await cli(['doctor'], options);
      await db.sql(`insert into public.users (name) values ('good')`);
      await db.sql(`insert into public.packages (name) values ('one')`);
      expect(await run(1, 'status')).toContain('no worker is connected');
      expect(await run(1, 'status', '--json')).toContain('users:inserted');
      const tail = startCli(['tail', 'users:inserted'], options);
      await tail.says(/following/);
      await db.sql(`insert into public.users (name) values ('good')`);
      await tail.says(/good|"id"|users/);
      tail.child.kill('SIGINT');
      await tail.ended;

      const failing = watchOf(watchers, { connection: role(), slot, manage: 'verify' });
      failing.subscribe('users:inserted', () => Promise.reject(new Error('no')), {
        name: 'mailer',
        onError: { attempts: 1, then: 'deadLetter' },
      });
      await failing.start();
      await db.sql(`insert into public.users (name) values ('letter')`);
      await settled(db, failing);
      await failing.stop();
      await run(0, 'dead-letters', 'list');
      const [{ id: letter }] = JSON.parse(await run(0, 'dead-letters', 'list', '--json')) as [{ id: string }];
      await run(0, 'dead-letters', 'show', letter);
      await run(0, 'dead-letters', 'replay', letter);
      await run(0, 'dead-letters', 'discard', '--all', '--yes');
      await db.sql('truncate public.effects');

      await until(async () => (await db.sql('select from pg_replication_slots where slot_name = $1 and not active', [slot])).length > 0, { describe: 'the worker to disconnect' }); // prettier-ignore
      const printed = await run(0, 'teardown', '--print');
      expect(printed).toMatch(/^SET search_path = pg_catalog, pg_temp;\n/);
      await run(0, 'teardown', '--yes');
      expect(await db.sql('select from pg_replication_slots where slot_name = $1', [slot])).toEqual([]);
      const again = await run(0, 'setup', '--print');
      await runScript(as(dba), again);
      await runScript(as(dba), printed);
      expect(await db.sql('select from pg_replication_slots where slot_name = $1', [slot])).toEqual([]);
    });
  });

  test.each(['role.sql', 'replica-identity.sql', 'publication.sql', 'slot.sql', 'lag.sql', 'teardown.sql'])(
    'by sql/%s',
    async (file) => {
      const text = await read(file);
      await runScript(as(dba), text.replaceAll(/\baccounts_worker\b/g, `sql_${id}`).replaceAll(/\bwalwatch\b/g, `sql_${id}`).replaceAll(/\baccounts\b/g, db.name)); // prettier-ignore
    },
  );

  test.each(['001_dead_letters', '002_positions', '004_attempts'])(
    'in sql/migrations/%s.sql, which keeps the search path of a transaction',
    async (file) => {
      const text = await read(`migrations/${file}.sql`);
      await db.sql('drop schema if exists walwatch cascade');
      await inSession(as(dba), async (client: Client) => {
        await client.query('begin');
        await client.query(text);
        const { rows } = await client.query('show search_path');
        expect(rows).toEqual([{ search_path: '"$user", public, pg_catalog' }]);
        await client.query('commit');
      });
      await runScript(as(dba), text);
      await db.sql('drop schema walwatch cascade');
    },
  );
});
