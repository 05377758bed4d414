/**
 * Transactions that stay open: slots and existing rows of all databases of their server wait for them. So this file has its own
 * server, and others do not wait.
 */
import { beforeAll, expect, test, vi } from 'vitest';
import { createWatch, defineWatchers, type WatchError } from '../../src/index.ts';
import { useOwnServer } from '../support/database.ts';
import { copyOn } from '../support/existing-copy.ts';
import { until } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

const db = useOwnServer();
const watchOf = watchOn(db);
const copyOf = copyOn(db);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
beforeAll(() => db.sql('create table entries (id int primary key); create table others (id int)'));

test('creating a slot waits for an open transaction up to a limit, names it, and leaves no orphan', async () => {
  const writer = await db.client({ application_name: 'nightly_job' });
  await writer.query('begin');
  await writer.query('insert into others values (1)');
  const { rows } = await writer.query('select pg_backend_pid() as pid');
  const watch = watchOf(watchers);
  const { slot } = watch.status();
  const blocked = new Promise<WatchError | undefined>((resolve) =>
    watch.on('disconnected', ({ error }) => resolve(error)),
  );
  const started = watch.start();
  const slots = () => db.sql('select from pg_replication_slots where slot_name = $1', [slot]);
  await until(async () => (await slots()).length === 1, { describe: 'the slot to be in the making' });
  const error = await blocked;
  expect(error).toMatchObject({ code: 'SLOT_BLOCKED', retry: 'soon' });
  expect(error!.message).toContain(`pid ${rows[0].pid} (nightly_job`);
  const stopped = watch.stop();
  await Promise.all([started, stopped]);
  await until(async () => (await slots()).length === 0, { describe: 'no orphan to be left' });
  await writer.query('rollback');
});

test('a temporary slot that waits for a transaction reports it, and leaves nothing behind', async () => {
  const writer = await db.client({ application_name: 'nightly_job' });
  await writer.query('begin; insert into others values (2)');
  const watch = createWatch({ connection: db.url, slot: { temporary: true }, watchers });
  const warned = new Promise<WatchError>((resolve) => watch.on('warning', resolve));
  const started = watch.start();
  expect(await warned).toMatchObject({ code: 'SLOT_BLOCKED', message: expect.stringContaining('nightly_job') });
  expect(watch.status()).toMatchObject({ state: 'connecting', error: { code: 'SLOT_BLOCKED' } });
  await Promise.all([watch.stop(), started]);
  const left = `select from pg_publication where pubname like 'walwatch_live%' union all select from pg_replication_slots where temporary
                union all select from pg_stat_activity where backend_type = 'walsender'`;
  await until(async () => (await db.sql(left)).length === 0, {
    describe: 'nothing to be left while the transaction is still open',
  });
  await writer.query('rollback');
});

test('transactions that wrote before the stream began are waited for, then named, and their rows are read', async () => {
  const slot = slotName();
  const early = await copyOf('early', 10, { slot });
  await early.watch.start();
  await early.watch.stop();
  const { watch, copy, subscribe, told } = await copyOf('late_table', 0, { slot });
  const writer = await db.client();
  await writer.query(`begin; insert into late_table values (1); savepoint a; insert into late_table values (2)`);
  const other = await db.client();
  await other.query(`begin; insert into late_table values (3); prepare transaction 'left_${slot}'`);
  const subscription = subscribe();
  await watch.start();
  let hours = 0;
  vi.spyOn(Date, 'now').mockImplementation(() => performance.timeOrigin + performance.now() + ++hours * 3_600_000);
  await until(() => told().length > 0, { describe: 'the warning' });
  vi.restoreAllMocks();
  expect(told()[0]).toMatch(
    new RegExp(`waits for transactions that began before: .*process \\d+ .*prepared transaction 'left_${slot}' since`),
  );
  expect(subscription.existing.state).toBe('waiting');
  await other.query(`commit prepared 'left_${slot}'`);
  await writer.query('commit');
  await subscription.existing.done;
  expect([...copy.keys()]).toEqual([1, 2, 3]);
});
