/** Creating, altering and checking slot and publication before streaming, and detecting losses. */
import { expect, onTestFinished, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, existingOf, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const users = defineWatchers([['users', 'inserted']]);

const publicationOf = async (name: string) => {
  const [publication] = await db.sql(
    `select pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
            array(select schemaname || '.' || tablename from pg_publication_tables where pubname = p.pubname order by 1) as tables
     from pg_publication p where pubname = $1`,
    [name],
  );
  return publication;
};

test('slot and publication are created when missing, and publish exactly the watched tables', async () => {
  const watch = watchOf(
    defineWatchers([
      ['users', 'inserted'],
      ['roles', 'deleted'],
    ]),
  );
  const { slot } = watch.status();
  await watch.start();
  expect(await publicationOf(slot)).toEqual({
    pubinsert: true, pubupdate: false, pubdelete: true, pubtruncate: false, pubviaroot: true, tables: ['public.roles', 'public.users'],
  }); // prettier-ignore
  const [made] = await db.sql('select plugin, temporary, database from pg_replication_slots where slot_name = $1', [
    slot,
  ]);
  expect(made).toEqual({ plugin: 'pgoutput', temporary: false, database: db.name });
  const state = 'select state from pg_stat_replication where application_name = $1';
  await until(async () => (await db.sql(state, [`walwatch/${slot}`]))[0]?.['state'] === 'streaming', {
    describe: 'the walsender, under the name of its slot, to have caught up',
  });
});

test('other watchers alter the publication: new tables are added, tables without a watcher are removed', async () => {
  const slot = slotName();
  const first = watchOf(
    defineWatchers([
      ['users', 'inserted'],
      ['roles', 'inserted'],
    ]),
    { slot },
  );
  await first.start();
  await first.stop();
  const second = watchOf(
    defineWatchers([
      ['users', 'updated'],
      ['packages', 'inserted'],
    ]),
    { slot },
  );
  await second.start();
  await until(async () => (await publicationOf(slot))?.['tables'].length === 2, {
    describe: 'the roles to be taken away',
  });
  expect(await publicationOf(slot)).toMatchObject({
    pubinsert: true,
    pubupdate: true,
    tables: ['public.packages', 'public.users'],
  });
});

test("with 'verify' nothing is made, and the error holds the SQL to run", async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const watch = watchOf(users, { slot, manage: 'verify' });
  const error = await watch.start().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'CONFIGURATION' });
  const { issues } = error as { issues: { message: string; solution: string }[] };
  expect(issues.map(({ message }) => message)).toEqual([
    `the publication '${slot}' does not exist`,
    `the replication slot '${slot}' does not exist`,
  ]);
  expect(await publicationOf(slot)).toBeUndefined();

  // The SQL of the error is what a DBA runs.
  for (const { solution } of issues) await db.sql(/: (.*);$/.exec(solution)![1]!);
  const verified = watchOf(users, { slot, manage: 'verify' });
  await verified.start();
  expect(verified.status().state).toBe('streaming');
});

test('a slot that was dropped is SLOT_LOST, and never silently re-created', async () => {
  const slot = slotName();
  const first = watchOf(users, { slot });
  await first.start();
  await first.stop();
  await db.sql('select pg_drop_replication_slot($1)', [slot]);
  const second = watchOf(users, { slot });
  await expect(second.start()).rejects.toMatchObject({
    code: 'SLOT_LOST',
    solution: expect.stringContaining('onLost'),
  });
  const [none] = await db.sql('select from pg_replication_slots where slot_name = $1', [slot]);
  expect(none).toBeUndefined();

  const third = watchOf(users, { slot: { name: slot, onLost: 'recreate' } });
  const gaps = recorder();
  third.on('gap', gaps);
  await third.start();
  expect(gaps.all).toEqual([
    { from: expect.stringMatching(/\//), to: expect.stringMatching(/\//), reason: expect.stringContaining('dropped') },
  ]);
});

test('a slot without a marker is adopted, and the marker is written', async () => {
  const slot = slotName();
  await db.sql(`create publication "${slot}" for table users`);
  await db.sql(`comment on publication "${slot}" is 'made by the DBA'`);
  await db.sql(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await db.sql(`insert into users (name) values ('before the worker')`);
  const watch = watchOf(defineWatchers([['users', 'inserted', { extraColumns: ['name'] }]]), { slot });
  const seen: unknown[] = [];
  watch.subscribe('users:inserted', ({ name }) => void seen.push(name));
  await watch.start();
  await settled(db, watch);
  expect(seen).toEqual(['before the worker']);
  const [row] = await db.sql<{ comment: string }>(
    `select obj_description(oid, 'pg_publication') as comment from pg_publication where pubname = $1`,
    [slot],
  );
  const [text, marker] = row!.comment.split('\n');
  expect(text).toBe('made by the DBA');
  expect(marker).toContain(`"slot":"${slot}"`);
});

test('a publication that is missing although its slot exists is PUBLICATION_LOST', async () => {
  const slot = slotName();
  const first = watchOf(users, { slot });
  await first.start();
  await first.stop();
  await db.sql(`drop publication "${slot}"`);
  await expect(watchOf(users, { slot }).start()).rejects.toMatchObject({ code: 'PUBLICATION_LOST' });
});

test('a slot of another plugin or database is refused', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  await db.sql(`select pg_create_logical_replication_slot($1, 'test_decoding')`, [slot]);
  await expect(watchOf(users, { slot }).start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringContaining('test_decoding'),
  });
});

test('while another worker has the slot this one is on standby, and takes over when that worker ends', async () => {
  const slot = slotName();
  const first = watchOf(users, { slot });
  await first.start();
  const second = watchOf(users, { slot });
  const standby = new Promise<number>((resolve) => second.on('standby', ({ activePid }) => resolve(activePid)));
  const warnings = recorder<WatchError>();
  second.on('warning', warnings);
  const started = second.start();
  const [active] = await db.sql('select active_pid from pg_replication_slots where slot_name = $1', [slot]);
  expect(await standby).toBe(active!['active_pid']);
  expect(second.status().state).toBe('standby');
  expect(warnings.all.map(({ code }) => code)).toEqual(['SLOT_ACTIVE']);
  const seen: unknown[] = [];
  second.subscribe('users:inserted', ({ id }) => void seen.push(id));
  await first.stop();
  await started;
  const [user] = await db.sql(`insert into users (name) values ('x') returning id`);
  await settled(db, second);
  expect(seen).toEqual([user!['id']]);
});

test('a standby can be stopped', async () => {
  const slot = slotName();
  const first = watchOf(users, { slot });
  await first.start();
  const second = watchOf(users, { slot });
  const standby = new Promise((resolve) => second.on('standby', resolve));
  const started = second.start();
  await standby;
  await second.stop();
  await started;
  expect(first.status().state).toBe('streaming');
});

test('a slot of an earlier name is reported once, with the SQL that drops it; a slot of another application is not', async () => {
  const [earlier, other, now] = [slotName(), slotName(), slotName()];
  for (const slot of [earlier, other]) {
    const watch = watchOf(slot === other ? defineWatchers([['roles', 'inserted']]) : users, { slot });
    await watch.start();
    await until(
      async () => {
        const [made] = await db.sql(
          `select obj_description(oid, 'pg_publication') as comment from pg_publication where pubname = $1`,
          [slot],
        );
        return String(made?.['comment']).includes('"watchers"');
      },
      { describe: 'the worker to note its watchers' },
    );
    await watch.stop();
  }
  const warnings = recorder<WatchError>();
  const watch = watchOf(users, { slot: now });
  watch.on('warning', warnings);
  await watch.start();
  await until(() => warnings.all.length > 0, { describe: 'the warning' });
  expect(warnings.all).toMatchObject([{ code: 'STRAY_SLOT', message: expect.stringContaining(`'${earlier}'`) }]);
  const [, drop] = /(SELECT .*; DROP PUBLICATION [^;]*;)/.exec(warnings.all[0]!.solution!)!;
  for (const statement of drop!.split('; ')) await db.sql(statement);
  expect(await existingOf(db, earlier!)).toEqual({ slot: false, publication: false });
});

test('a temporary slot leaves neither slot nor publication behind', async () => {
  const watch = watchOf(users, { slot: { temporary: true } });
  const { slot } = watch.status();
  const seen: unknown[] = [];
  watch.subscribe('users:inserted', ({ id }) => void seen.push(id));
  await watch.start();
  const [made] = await db.sql('select temporary from pg_replication_slots where slot_name = $1', [slot]);
  expect(made).toEqual({ temporary: true });
  const [user] = await db.sql(`insert into users (name) values ('live') returning id`);
  await until(() => seen.length === 1, { describe: 'the event' });
  expect(seen).toEqual([user!['id']]);
  await watch.stop();
  expect(await publicationOf(slot)).toBeUndefined();
});

test('a reconnect of a temporary slot is a gap; the publication of a killed process is removed by the next', async () => {
  await db.sql('create publication walwatch_live_1_dead for table users');
  const watch = watchOf(users, { slot: { temporary: true } });
  const gaps = recorder();
  watch.on('gap', gaps);
  await watch.start();
  expect(await publicationOf('walwatch_live_1_dead')).toBeUndefined();
  await db.sql('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1', [
    watch.status().slot,
  ]);
  await until(() => gaps.all.length === 1, { describe: 'the gap' });
  expect(gaps.all).toEqual([expect.objectContaining({ to: expect.stringMatching(/\//) })]);
});

test('a slot that was advanced by others is SLOT_MOVED', async () => {
  const watch = watchOf(users);
  const { slot } = watch.status();
  await watch.start();
  await settled(db, watch);
  // The slot is free only between two connections: the second worker is this test.
  const admin = await db.client();
  const ended = watch.closed.catch((error: unknown) => error);
  for (let state = ''; state !== 'failed'; state = watch.status().state) {
    await admin.query('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1', [slot]);
    await admin.query(`insert into users (name) values ('unseen')`);
    await admin.query('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [slot]).catch(() => {}); // still, or again, active
  }
  expect(await ended).toMatchObject({ code: 'SLOT_MOVED' });
});

test('WAL that the slot retains causes a warning', async () => {
  const watch = watchOf(users, { retainedWalWarning: 1 });
  const warned = new Promise<WatchError>((resolve) => watch.on('warning', resolve));
  await watch.start();
  expect(await warned).toMatchObject({ code: 'WAL_RETAINED' });
});
