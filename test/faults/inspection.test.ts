/** The server changes while a worker streams: locks, reloaded settings, standbys that go away. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchError, type WatchOptions } from '../../src/index.ts';
import { wantedVersion } from '../support/binaries.ts';
import { cli } from '../support/cli.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { type Database, createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled } from '../support/watching.ts';

const version = wantedVersion(process.env);
/** Inspections are 10 s apart. */
const nextInspection = 15_000;

async function serverWithTables(): Promise<{ cluster: Cluster; db: Database }> {
  const cluster = await startCluster();
  onTestFinished(() => cluster[Symbol.asyncDispose]());
  const db = await createDatabase(cluster.url);
  onTestFinished(() => db[Symbol.asyncDispose]());
  await db.sql('create table jobs (id int primary key)');
  await db.sql('create table locked (id int primary key)');
  return { cluster, db };
}

async function worker(db: Database, options: Partial<WatchOptions<any>> = {}) {
  const watch = createWatch({
    connection: db.url,
    slot: 'inspected',
    watchers: defineWatchers([['jobs', 'inserted'], ['jobs', 'updated'], ['locked', 'inserted']]),
    ...options,
  } as WatchOptions<any>) as SlotWatch<any>;
  onTestFinished(async () => {
    await watch.stop();
    await db.dropSlot('inspected');
  });
  const seen: number[] = [];
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  watch.closed.catch(() => {});
  watch.subscribe('jobs:inserted', ({ id }: any) => void seen.push(id));
  await watch.start();
  return { watch, seen, warnings };
} // prettier-ignore

test('a migration that holds a watched table blocks neither events of other tables nor the inspection', async () => {
  const { db } = await serverWithTables();
  const { watch, seen, warnings } = await worker(db);
  const migration = await db.client();
  await migration.query('begin');
  await migration.query('alter table locked add more int');
  await db.sql(`alter publication inspected set (publish = 'insert')`);
  await until(() => warnings.length > 0, { describe: 'an inspection', timeout: nextInspection });
  expect(warnings).toMatchObject([{ code: 'PUBLICATION_CHANGED' }]);
  await db.sql('insert into jobs values (1)');
  await until(() => seen.length === 1, { describe: 'the event of the other table' });
  const waiting = await db.sql(
    `select query from pg_stat_activity where application_name like 'walwatch%' and wait_event_type = 'Lock'`,
  );
  expect(waiting).toEqual([]);
  await migration.query('rollback');
  expect(watch.status().state).toBe('streaming');
});

describe('when synchronous_standby_names begins to name the worker,', () => {
  test('the watch ends, so that it does not block commits of the server', async () => {
    const { cluster, db } = await serverWithTables();
    const { watch } = await worker(db);
    await cluster.reload({ synchronous_standby_names: '*' });
    await expect(watch.closed).rejects.toMatchObject({
      code: 'SYNCHRONOUS_STANDBY',
      message: expect.stringContaining('walwatch/inspected'),
    });
    const isGone = async () => (await db.sql('select from pg_stat_replication')).length === 0;
    await until(isGone, { describe: 'the walsender to be gone' });
    await cluster.reload({ synchronous_standby_names: '' });
  });

  test("it is a warning with visibility: 'immediate', which is over when the name is removed", async () => {
    const { cluster, db } = await serverWithTables();
    const { watch, seen, warnings } = await worker(db, { visibility: 'immediate' });
    await cluster.reload({ synchronous_standby_names: '*' });
    await until(() => warnings.length > 0, { describe: 'the warning', timeout: nextInspection });
    expect(warnings).toMatchObject([{ code: 'SYNCHRONOUS_STANDBY' }]);
    expect(watch.health().reasons).toEqual([expect.stringMatching(/^SYNCHRONOUS_STANDBY: /)]);
    await db.sql('insert into jobs values (1)');
    expect(seen).toEqual([1]);
    await cluster.reload({ synchronous_standby_names: '' });
    await until(() => watch.health().reasons.length === 0, { describe: 'its end', timeout: nextInspection });
    expect(warnings).toHaveLength(1);
  });
});

test.skipIf(version < 17)(
  'a standby of synchronized_standby_slots that is down holds back all events: warning, health, status and doctor name it',
  { timeout: 90_000 },
  async () => {
    const { cluster, db } = await serverWithTables();
    await db.sql(`select pg_create_physical_replication_slot('standby_1', true)`);
    const { watch, seen, warnings } = await worker(db, { slot: { name: 'inspected', failover: true } });
    await db.sql('insert into jobs values (1)');
    await until(() => seen.length === 1, { describe: 'the first event' });
    await settled(db, watch);
    await cluster.reload({ synchronized_standby_slots: 'standby_1' });
    await db.sql('insert into jobs values (2)');
    await until(() => warnings.length > 0, { describe: 'the warning', timeout: nextInspection });
    expect(warnings).toMatchObject([
      {
        code: 'STANDBY_BEHIND',
        message: expect.stringContaining("'standby_1' of synchronized_standby_slots, which no standby is connected to"),
        solution: expect.stringContaining("ALTER SYSTEM SET synchronized_standby_slots = ''"),
      },
    ]);
    expect(seen).toEqual([1]);
    expect(watch.health()).toMatchObject({ ready: true, reasons: [expect.stringContaining("'standby_1'")] });

    const names = ['jobs:inserted', 'jobs:updated', 'locked:inserted', '--slot', 'inspected'];
    const status = await cli(['status', '--slot', 'inspected'], { url: db.url });
    expect(status).toMatchObject({ code: 1, stdout: expect.stringMatching(/^✗ inspected: .*'standby_1'/) });
    const doctor = await cli(['doctor', ...names], { url: db.url });
    expect(doctor).toMatchObject({ code: 1, stdout: expect.stringMatching(/^✗ synchronized_standby_slots: .*'standby_1'/m) }); // prettier-ignore

    await cluster.reload({ synchronized_standby_slots: 'nobody' });
    await until(() => warnings.length > 1, { describe: 'the next warning', timeout: nextInspection });
    expect(warnings[1]).toMatchObject({ message: expect.stringContaining("'nobody' of synchronized_standby_slots, which does not exist") }); // prettier-ignore
    await cluster.reload({ synchronized_standby_slots: '' });
    await until(() => seen.length === 2, { describe: 'the second event' });
    await until(() => watch.health().reasons.length === 0, { describe: 'the end of it', timeout: nextInspection });
    expect((await cli(['status', '--slot', 'inspected'], { url: db.url })).code).toBe(0);
  },
);
