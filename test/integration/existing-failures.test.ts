/** Handlers that fail or take too long: existing rows are treated as changes are. */
import { expect, test } from 'vitest';
import { type DeadLetter, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { copyOn } from '../support/existing-copy.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { nameOn, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = (table: string) => defineWatchers([[table, 'inserted', { extraColumns: ['note'] }]] as never);
const tableOf = (table: string) =>
  db.sql(
    `create table ${table} (id int primary key, note text); insert into ${table} select n, 'n' || n from generate_series(1, 6) n`,
  );

test('a handler of a row that takes too long is aborted, and the row is handled again', async () => {
  await tableOf('slow');
  const watch: any = watchOf(watchers('slow'));
  const failures = recorder();
  watch.on('handlerFailed', failures);
  const seen: number[][] = [];
  const handler = async ({ id }: any, { attempt, signal }: any) => {
    if (id === 3 && attempt === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    else seen.push([id, attempt]);
  };
  const subscription = watch.subscribe('slow:inserted', handler, {
    name: 'copy', existing: 'v1', timeout: 100, onError: { attempts: 3, then: 'stop' },
  }); // prettier-ignore
  await watch.start();
  await subscription.existing.done;
  expect(seen).toEqual([[1, 1], [2, 1], [3, 2], [4, 1], [5, 1], [6, 1]]); // prettier-ignore
  expect(failures.all).toMatchObject([{ error: { code: 'HANDLER_TIMEOUT' }, attempt: 1, action: 'retry' }]);
  expect(failures.all[0].eventId).toBe('existing/v1/1/public.slow/3');
});

test.each(['plain', 'with transaction: true'])(
  "with onError 'skip' a row that fails is left out, and the others are read (%s)",
  async (kind) => {
    const table = kind === 'plain' ? 'skipped' : 'skipped_too';
    await tableOf(table);
    const watch: any = watchOf(watchers(table));
    const failures = recorder();
    watch.on('handlerFailed', failures);
    const seen: number[] = [];
    const handler = async ({ id }: any) => {
      if (id % 3 === 0) throw new Error('poison');
      seen.push(id);
    };
    const subscription = watch.subscribe(`${table}:inserted`, handler, {
    name: 'copy', existing: { version: 'v1', chunk: 2 }, onError: { attempts: 2, then: 'skip' }, transaction: kind !== 'plain',
  }); // prettier-ignore
    await watch.start();
    await subscription.existing.done;
    expect(seen).toEqual([1, 2, 4, 5]);
    expect(failures.all.map(({ action, attempt }) => [action, attempt])).toEqual([
    ['retry', 1], ['skip', 2], ['retry', 1], ['skip', 2],
  ]); // prettier-ignore
    expect(failures.all.at(-1).eventId).toBe(`existing/v1/1/public.${table}/6`);
  },
);

test.each([
  ['plain', false],
  ['with transaction: true', true],
] as const)('the dead letter of a row is listed, and a later worker replays it (%s)', async (_, transaction) => {
  const table = transaction ? 'buried_too' : 'buried';
  await tableOf(table);
  const slot = nameOn(db);
  const options = { name: 'copy', existing: 'v1', transaction, onError: { attempts: 2, then: 'deadLetter' } };
  const first: any = watchOf(watchers(table), { slot });
  const subscription = first.subscribe(`${table}:inserted`, async ({ id }: any) => {
    if (id === 3) throw new Error('poison');
  }, options); // prettier-ignore
  await first.start();
  await subscription.existing.done;
  await first.stop();

  const second: any = watchOf(watchers(table), { slot });
  const replayed: unknown[] = [];
  second.subscribe(`${table}:inserted`, async (event: any, { existing, eventId, commitLsn, client }: any) => {
    replayed.push([event, existing, eventId, commitLsn, client !== undefined]);
  }, options); // prettier-ignore
  await second.start();
  const letters: DeadLetter[] = [];
  for await (const letter of second.deadLetters.list())
    if (letter.watcher === `${table}:inserted`) letters.push(letter);
  const eventId = `existing/v1/1/public.${table}/3`;
  expect(letters).toMatchObject([{ subscription: 'copy', eventId, event: { id: 3, note: 'n3' }, attempts: 2 }]);
  await second.deadLetters.replay({ ids: [letters[0]!.id] });
  expect(replayed).toEqual([[{ id: 3, note: 'n3' }, true, eventId, '0/0', transaction]]);
});

test('with transaction: true a dead letter also records its row: after a discard and a crash the row is not delivered again', async () => {
  await tableOf('recorded');
  const slot = nameOn(db);
  const options = { name: 'copy', existing: 'v1', transaction: true, onError: { attempts: 1, then: 'deadLetter' } };
  const first: any = watchOf(watchers('recorded'), { slot, stopTimeout: 50 });
  let reached = 0;
  first.subscribe('recorded:inserted', async ({ id }: any) => {
    if (id === 3) throw new Error('poison');
    if (id === 4) {
      reached = id;
      await new Promise(() => {}); // its transaction is rolled back
    }
  }, options).existing.done.catch(() => {}); // prettier-ignore
  await first.start();
  await until(() => reached === 4, { describe: 'the row after the poison' });
  await first.deadLetters.discard({ subscription: 'copy', watcher: 'recorded:inserted' });
  // A crash: the state that stop() stores is replaced by the one from before.
  const mine = `walwatch.existing where slot = '${slot}'`;
  await db.sql(`create table kept as select * from ${mine}`);
  await first.stop();
  await db.sql(`delete from ${mine}; insert into walwatch.existing select * from kept`);

  const second: any = watchOf(watchers('recorded'), { slot });
  const seen: number[] = [];
  const subscription = second.subscribe('recorded:inserted', async ({ id }: any) => void seen.push(id), options);
  await second.start();
  await subscription.existing.done;
  expect(seen).toEqual([4, 5, 6]);
});

test('the end of reading that could not be stored is stored before done resolves', async () => {
  const refuse = () => db.sql(`alter table walwatch.existing add constraint not_yet check (state <> 'done') not valid`);
  let refusing: Promise<unknown> | undefined;
  const { watch, slot, subscribe, told } = await copyOn(db)('stored', 20, { during: () => (refusing ??= refuse()) });
  watch.on('warning', () => void db.sql('alter table walwatch.existing drop constraint if exists not_yet'));
  const subscription = subscribe();
  await watch.start();
  await subscription.existing.done;
  expect(told()).toEqual([expect.stringContaining('not_yet')]);
  expect(await db.sql('select state from walwatch.existing where slot = $1', [slot])).toEqual([{ state: 'done' }]);
});
