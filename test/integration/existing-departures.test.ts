/** Subscriptions that end before their watch: while rows are read, or later. */
import { expect, test } from 'vitest';
import { defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { nameOn, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchersOf = (table: string) =>
  defineWatchers([[table, ['inserted', 'updated'], { extraColumns: ['note'] }]] as never);
const listOf = (table: string) => [`${table}:inserted`, `${table}:updated`];

async function tableOf(table: string, rows: number): Promise<void> {
  await db.sql(
    `create table ${table} (id int primary key, note text); insert into ${table} select n, 'n' || n from generate_series(1, ${rows}) n`,
  );
}

/** For a handler that waits: `over` resolves with `goOn()`. */
function waiting() {
  let goOn!: () => void;
  const over = new Promise<void>((resolve) => (goOn = resolve));
  return { over, goOn };
}

test('rows that waited when the subscription ended are not recorded by the transaction that still runs', async () => {
  await tableOf('dropped_rows', 6);
  const slot = nameOn(db);
  const list = listOf('dropped_rows');
  const options = { name: 'copy', existing: { version: 'v1', afterGap: 'ignore' }, transaction: true };
  const first: any = watchOf(watchersOf('dropped_rows'), { slot });
  const { over, goOn } = waiting();
  const begun = recorder();
  const subscription = first.subscribe(list, async (change: unknown) => {
    begun(change);
    await over;
  }, options); // prettier-ignore
  subscription.existing.done.catch(() => {});
  const passed = recorder();
  first.subscribe('dropped_rows:updated', passed);
  await first.start();
  await until(() => begun.all.length === 1, { describe: 'the first row' });
  await db.sql(`update dropped_rows set note = 'x' where id = 4`); // row 4 is given before its change, and waits
  await until(() => passed.all.length === 1, { describe: 'the change' });
  subscription.unsubscribe();
  goOn();
  await until(() => first.status().running === 0, { describe: 'the end of the handler' });
  await first.stop();

  const second: any = watchOf(watchersOf('dropped_rows'), { slot });
  const seen: number[] = [];
  const again = second.subscribe(list, async ({ event }: any) => void seen.push(event.id), options);
  await second.start();
  await again.existing.done;
  expect(seen).toEqual([2, 3, 4, 5, 6]);
});

test('a subscription that ends while its state is read holds no change of a key', async () => {
  await tableOf('ended_early', 1000);
  const slot = nameOn(db);
  const list = listOf('ended_early');
  const options = { name: 'copy', existing: { version: 'v1', chunk: 10 } };
  const first: any = watchOf(watchersOf('ended_early'), { slot, stopTimeout: 50 });
  let rows = 0;
  const handler = () => (++rows < 50 ? undefined : new Promise(() => {}));
  first.subscribe(list, handler, options).existing.done.catch(() => {});
  await first.start();
  await until(() => rows === 50, { describe: 'the middle of the table' });
  await first.stop();

  const ownerOf = async () => (await db.sql('select owner from walwatch.existing where slot = $1', [slot]))[0]!.owner;
  const owner = await ownerOf();
  const locker = await db.client();
  await locker.query(`begin; select from walwatch.existing where slot = '${slot}' for update`);
  const second: any = watchOf(watchersOf('ended_early'), { slot });
  const subscription = second.subscribe(list, () => {}, options);
  const ended = expect(subscription.existing.done).rejects.toMatchObject({ code: 'STOPPED' });
  await second.start();
  const waits = `select from pg_stat_activity where application_name like '%${slot}:existing' and wait_event_type = 'Lock'`;
  await until(async () => (await db.sql(waits)).length > 0, { describe: 'the session that waits for the state' });
  subscription.unsubscribe();
  await ended;
  await locker.query('rollback');
  await until(async () => (await ownerOf()) !== owner, { describe: 'the state to be taken' });
  await db.sql('update ended_early set id = id + 10000 where id > 990');
  await settled(db, second);
});

test.each([
  ['a change came after its end', 'after', true],
  ['a change waited for its handler when it ended', 'waiting', true],
  ['no change came', 'none', false],
] as const)('a subscription that ended gets its rows again from a later worker if %s', async (_, change, again) => {
  const table = `ended_${change}`;
  await tableOf(table, 3);
  const slot = nameOn(db);
  const list = listOf(table);
  const options = { name: 'copy', existing: 'v1' };
  const first: any = watchOf(watchersOf(table), { slot });
  const { over, goOn } = waiting();
  const handler = ({ context }: any) => (context.existing ? undefined : over);
  const subscription = first.subscribe(list, handler, options);
  const passed = recorder();
  first.subscribe(`${table}:updated`, passed);
  await first.start();
  await subscription.existing.done;
  if (change !== 'waiting') subscription.unsubscribe();
  if (change !== 'none') {
    await db.sql(`update ${table} set note = 'x' where id < 3`);
    await until(() => passed.all.length === 2, { describe: 'the changes' });
  }
  subscription.unsubscribe();
  goOn();
  await first.stop();

  const second: any = watchOf(watchersOf(table), { slot });
  const warnings = recorder<[WatchError]>();
  second.on('warning', warnings);
  const seen: unknown[] = [];
  const later = second.subscribe(list, ({ event }: any) => void seen.push([event.id, event.note]), options);
  await second.start();
  await later.existing.done;
  expect(seen).toEqual(again ? [[1, 'x'], [2, 'x'], [3, 'n3']] : []); // prettier-ignore
  const told = warnings.all.some(({ message }: any) => message.includes('its existing rows are read again'));
  expect(told).toBe(again);
});

test('a missed change that cannot be noted keeps the slot, is logged, and is noted later', async () => {
  await tableOf('ended_unnoted', 3);
  const slot = nameOn(db);
  const warned = recorder((_: object, message: string) => message);
  const logger = { debug() {}, info() {}, warn: warned, error() {} };
  const watch: any = watchOf(watchersOf('ended_unnoted'), { slot, logger });
  const subscription = watch.subscribe(listOf('ended_unnoted'), () => {}, { name: 'copy', existing: 'v1' });
  await watch.start();
  await subscription.existing.done;
  subscription.unsubscribe();
  await db.sql('alter table walwatch.existing rename column owner to hidden');
  await db.sql(`update ended_unnoted set note = 'x'`);
  await until(() => warned.all.some((message) => message.includes('has missed a change')), {
    describe: 'the log line',
  });
  await db.sql('alter table walwatch.existing rename column hidden to owner');
  await settled(db, watch);
  expect(await db.sql('select owner from walwatch.existing where slot = $1', [slot])).toEqual([{ owner: '' }]);
});

test('with a signal that is aborted already, done rejects with STOPPED', async () => {
  const watch: any = watchOf(watchersOf('none_at_all'));
  const options = { name: 'copy', existing: 'v1', signal: AbortSignal.abort() };
  const { existing } = watch.subscribe('none_at_all:inserted', () => {}, options);
  await expect(existing.done).rejects.toMatchObject({ code: 'STOPPED' });
});
