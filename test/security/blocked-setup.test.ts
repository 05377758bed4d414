/** An open transaction blocks the slot: a failed setup undoes its changes, or prints the SQL that does. */
import { beforeEach, expect, inject, test } from 'vitest';
import { cli, folder, startCli } from '../support/cli.ts';
import { useOwnServer } from '../support/database.ts';
import { until } from '../support/until.ts';
import { existingOf, nameOn } from '../support/watching.ts';

// A separate server: the transactions block the slots of all its databases.
const db = useOwnServer();

const name = () => nameOn(db);
const exists = (slot: string) => existingOf(db, slot);
const identities = () =>
  db.sql(
    `select relname::text as name, relreplident::text as identity from pg_class where relname in ('users', 'packages', 'indexed') order by 1`,
  );

beforeEach(async () => {
  await db.sql('drop table if exists indexed');
  await db.sql('create table indexed (id int primary key, code int not null unique)');
  await db.sql('alter table indexed replica identity using index indexed_code_key');
  await db.sql('alter table users replica identity default; alter table packages replica identity default');
});

const config = (slot: string, more = '') =>
  folder({
    'walwatch.config.mjs': `import { defineConfig, defineWatchers } from 'walwatch';
      export default defineConfig({ slot: '${slot}', watchers: defineWatchers([
        ['users', 'updated', { label: 'a', triggerColumns: ['name'] }], ['indexed', 'updated', { label: 'b', triggerColumns: ['id'] }],
        ['packages', 'updated', { label: 'c', triggerColumns: ['name'] }], ${more}
      ]) });`,
  });

test('a setup that an open transaction blocks undoes all its changes', async () => {
  const slot = name();
  const options = { url: db.url, cwd: await config(slot) };
  const before = await identities();
  const writer = await db.client({ application_name: 'nightly_job' });
  await writer.query(`begin; insert into roles (name) values ('x')`);
  const { code, stderr } = await cli(['setup', '--yes'], options);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^walwatch: SLOT_BLOCKED: .*nightly_job/);
  expect(await identities()).toEqual(before);
  expect(await exists(slot)).toEqual({ slot: false, publication: false });

  // The same for a setup that is interrupted while it waits.
  const waiting = startCli(['setup', '--yes'], options);
  waiting.child.stdin!.end();
  await until(async () => (await exists(slot)).slot, { describe: 'the slot to be in the making' });
  waiting.child.kill('SIGINT');
  expect((await waiting.ended).code).toBe(1);
  expect(await identities()).toEqual(before);
  expect(await exists(slot)).toEqual({ slot: false, publication: false });

  await writer.query('rollback');
  expect((await cli(['setup', '--yes'], options)).code).toBe(0);
  expect(await identities()).not.toEqual(before);
});

test('changes that cannot be undone because of a locked table are reported with the SQL that undoes them', async () => {
  const slot = name();
  const blocked = startCli(['setup', '--yes'], { url: db.url, cwd: await config(slot) });
  blocked.child.stdin!.end();
  const writer = await db.client();
  await writer.query(`begin; insert into roles (name) values ('x')`);
  await until(async () => (await exists(slot)).slot, { describe: 'the slot to be in the making' });
  await writer.query('select from users limit 1');
  const { code, stderr } = await blocked.ended;
  await writer.query('rollback');
  expect(code).toBe(1);
  const statements = /To restore them, run: (.*)/.exec(stderr)![1]!;
  await db.sql(statements);
  expect((await identities()).map(({ identity }) => identity)).toEqual(['i', 'd', 'd']);
});

test.skipIf(inject('server').version < 15)(
  'replica identities that an existing publication needs are kept and reported',
  async () => {
    const slot = name();
    await db.sql(`create publication "${slot}" for table roles`);
    const writer = await db.client();
    await writer.query(`begin; insert into roles (name) values ('x')`);
    const args = ['setup', 'users:updated', '--where', 'role_id = 7', '--slot', slot, '--yes'];
    const { code, stderr } = await cli(args, { url: db.url });
    expect(code).toBe(1);
    expect(stderr).toContain('ALTER TABLE "public"."users" REPLICA IDENTITY DEFAULT;');
    await writer.query('rollback');
    // The application can still write.
    await db.sql(`insert into users (name) values ('a'); update users set name = 'b'; delete from users`);
  },
);
