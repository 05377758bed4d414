/** Failures of the handler, of its session, or of neither. With transaction: true. */
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchError } from '../../src/index.ts';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { deferred, until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ jobs: { id: number } }>()([['jobs', 'inserted']]);
const transaction = { transaction: true, name: 'worker' } as const;

beforeAll(async () => {
  await db.sql('create table jobs (id int primary key)');
  await db.sql('create table done (id int)');
  await db.sql('create table seen (what text primary key)');
});
beforeEach(() => db.sql('truncate jobs, done, seen'));

const done = async () => (await db.sql<{ id: number }>('select id from done order by id')).map(({ id }) => id);
const insert = (...ids: readonly number[]) => db.sql('insert into jobs select unnest($1::int[])', [ids]);
const terminateHandlers = () =>
  db.sql(`select pg_terminate_backend(pid) from pg_stat_activity
          where application_name like '%:handler' and datname = current_database()`);
const position = async (watch: SlotWatch<any>) =>
  (
    await db.sql('select commit_lsn::text as lsn, ordinal from walwatch.positions where slot = $1', [
      watch.status().slot,
    ])
  )[0];

/** The failures and warnings that a watch reports. */
function told(watch: SlotWatch<any>) {
  const failures: { readonly attempt: number; readonly error: unknown }[] = [];
  const warnings: WatchError[] = [];
  watch.on('handlerFailed', (failure) => failures.push(failure));
  watch.on('warning', (warning) => warnings.push(warning));
  return { failures, warnings };
}

test('a handler that continues after a failed query has failed, because COMMIT would commit nothing', async () => {
  const watch = watchOf(watchers);
  const { failures } = told(watch);
  await db.sql(`insert into seen values ('once')`);
  watch.subscribe('jobs:inserted', async ({ id }, { client, attempt }) => {
    await client.query('insert into done values ($1)', [id]);
    if (attempt === 1) await client.query(`insert into seen values ('once')`).catch(() => {});
  }, transaction); // prettier-ignore
  await watch.start();
  await insert(1);
  await settled(db, watch);
  expect(failures).toMatchObject([{ attempt: 1, error: { code: 'HANDLER_TRANSACTION', cause: { code: '25P02' } } }]);
  expect(await done()).toEqual([1]);
});

test.each([
  ['commits', 'commit', [1, 1]],
  ['rolls back', 'rollback', [1]],
  ['commits and begins again in', 'commit; begin', [1, 1]],
])('a handler that %s the transaction has failed, and does not move the position', async (_, statement, effects) => {
  const watch = watchOf(watchers);
  const { failures } = told(watch);
  const positions: unknown[] = [];
  watch.subscribe('jobs:inserted', async ({ id }, { client, attempt }) => {
    await client.query('insert into done values ($1)', [id]);
    if (attempt === 1) await client.query(statement);
    positions.push(await position(watch));
  }, transaction); // prettier-ignore
  await watch.start();
  await insert(1);
  await settled(db, watch);
  expect(failures).toMatchObject([{ attempt: 1, error: { code: 'HANDLER_TRANSACTION' } }]);
  for (const found of positions.filter((one) => one !== undefined)) expect(found).toEqual({ lsn: '0/0', ordinal: -1 });
  expect(await done()).toEqual(effects);
});

test('a handler that commits and then fails is retried', async () => {
  const watch = watchOf(watchers);
  watch.subscribe('jobs:inserted', async ({ id }, { client, attempt }) => {
    await client.query('begin');
    await client.query('commit');
    if (attempt === 1) throw new Error('passing');
    if (attempt === 3) await db.sql('insert into done values ($1)', [id]);
    if (attempt === 3) throw new Error('enough');
  }, { ...transaction, onError: { attempts: 3, then: 'skip' } }); // prettier-ignore
  await watch.start();
  await insert(1);
  await settled(db, watch);
  expect(await done()).toEqual([1]);
});

test('a handler may use its own savepoints', async () => {
  const watch = watchOf(watchers);
  const { failures } = told(watch);
  await db.sql(`insert into seen values ('once')`);
  watch.subscribe('jobs:inserted', async ({ id }, { client }) => {
    await client.query('insert into done values ($1)', [id]);
    await client.query('savepoint mine');
    await client.query(`insert into seen values ('once')`).catch(() => client.query('rollback to savepoint mine'));
  }, transaction); // prettier-ignore
  await watch.start();
  await insert(1);
  await settled(db, watch);
  expect([failures, await done()]).toEqual([[], [1]]);
});

test('a session that is lost while idle is replaced silently', async () => {
  const watch = watchOf(watchers);
  const { failures, warnings } = told(watch);
  watch.subscribe('jobs:inserted', ({ id }, { client }) => client.query('insert into done values ($1)', [id]), {
    ...transaction,
    onError: { attempts: 1, then: 'skip' },
  });
  await watch.start();
  await insert(1);
  await settled(db, watch);
  const [pids] = await terminateHandlers();
  expect(pids).toBeDefined();
  await until(async () => (await terminateHandlers()).length === 0, { describe: 'the end of the session' });
  await insert(2);
  await settled(db, watch);
  expect([failures, warnings, await done()]).toEqual([[], [], [1, 2]]);
});

test('a handler whose session is lost is aborted and waited for, then the same attempt is made again', async () => {
  const watch = watchOf(watchers);
  const { failures, warnings } = told(watch);
  const attempts: number[] = [];
  let running = 0;
  let most = 0;
  watch.subscribe('jobs:inserted', async ({ id }, { client, attempt, signal }) => {
    most = Math.max(most, ++running);
    if (attempts.push(attempt) === 1) {
      await terminateHandlers();
      await until(() => signal.aborted, { describe: 'the signal' });
      expect(signal.reason).toMatchObject({ code: 'CONNECTION' });
      // It continues anyway, for longer than the backoff.
      await db.sql('select pg_sleep(0.3)');
    }
    running--;
    await client.query('insert into done values ($1)', [id]);
  }, { ...transaction, onError: { attempts: 1, then: 'skip' } }); // prettier-ignore
  await watch.start();
  await insert(1);
  await settled(db, watch);
  expect([attempts, most, failures, await done()]).toEqual([[1, 1], 1, [], [1]]);
  expect(warnings).toMatchObject([{ code: 'CONNECTION', message: expect.stringContaining('worker') }]);
});

test("a handler that exceeds the server's limit for a transaction has failed", async () => {
  await db.sql(`alter database "${db.name}" set idle_in_transaction_session_timeout = '100ms'`);
  try {
    const watch = watchOf(watchers);
    const { failures } = told(watch);
    watch.subscribe('jobs:inserted', async (_, { signal }) => {
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    }, { ...transaction, onError: { attempts: 1, then: 'skip' } }); // prettier-ignore
    await watch.start();
    await insert(1);
    await settled(db, watch);
    expect(failures).toMatchObject([{ attempt: 1, error: { code: '25P03' } }]);
  } finally {
    await db.sql(`alter database "${db.name}" reset idle_in_transaction_session_timeout`);
  }
});

test('while the server is away no attempts are used up', async () => {
  await using cluster = await startCluster();
  const sql = (text: string) => inSession(cluster.url, (client) => client.query(text));
  await sql('create table jobs (id int primary key)');
  await sql('create table done (id int primary key)');
  await using watch = createWatch({ connection: cluster.url, slot: slotName(), watchers });
  const { failures } = told(watch);
  let disconnects = 0;
  watch.on('disconnected', () => disconnects++);
  const third = deferred();
  const goOn = deferred();
  watch.subscribe('jobs:inserted', async ({ id }, { client }) => {
    await client.query('insert into done values ($1)', [id]);
    if (id !== 3) return;
    third.resolve();
    await goOn.promise;
  }, { ...transaction, onError: { attempts: 1, then: 'skip' } }); // prettier-ignore
  await watch.start();
  await sql('insert into jobs select generate_series(1, 8)');
  await third.promise;
  await cluster.stop('fast');
  goOn.resolve();
  await until(() => disconnects >= 3 && watch.status().heldBy?.error, { describe: 'some attempts to connect' });
  await cluster.start();
  await watch.caughtUp();
  const { rows } = await sql('select count(*)::int from done');
  expect([failures, rows]).toEqual([[], [{ count: 8 }]]);
});

test('when a handler is not waited for, its running query ends on the server and releases its locks', async () => {
  const watch = watchOf(watchers, { stopTimeout: 0 });
  const running = deferred();
  watch.subscribe('jobs:inserted', async (_, { client }) => {
    await client.query('lock table seen');
    running.resolve();
    await client.query('select pg_sleep(600)');
  }, transaction); // prettier-ignore
  await watch.start();
  await insert(1);
  await running.promise;
  const sleeping = `select from pg_stat_activity where query like 'select pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()`;
  await until(async () => (await db.sql(sleeping)).length === 1, { describe: 'the query' });
  await watch.stop();
  await until(async () => (await db.sql(sleeping)).length === 0, { describe: 'the end of the query' });
  await db.sql('select from seen');
});

test('an attempt that timed out ends on the server too, so it does not block the next one', async () => {
  const watch = watchOf(watchers);
  const { failures } = told(watch);
  watch.subscribe('jobs:inserted', async ({ id }, { client, attempt }) => {
    if (attempt === 1) await client.query('lock table seen; select pg_sleep(600)');
    await client.query(`insert into seen values ('once')`);
    await client.query('insert into done values ($1)', [id]);
  }, { ...transaction, timeout: 2000 }); // prettier-ignore
  await watch.start();
  await insert(1);
  await settled(db, watch);
  expect(failures).toMatchObject([{ attempt: 1, error: { code: 'HANDLER_TIMEOUT' } }]);
  expect(await done()).toEqual([1]);
});

test('a transaction that was delivered in part is not done, even if its handler catches the error of its loop', async () => {
  const slot = slotName();
  const small = { slot, highWaterMark: 20_000 };
  const read = (watch: SlotWatch<typeof watchers>, each: () => Promise<void>) =>
    watch.onTransaction(async (changes, { client }) => {
      try {
        for await (const { event } of changes) {
          await client.query('insert into done values ($1)', [event.id]);
          await each();
        }
      } catch {} // as if it had been logged
    }, transaction); // prettier-ignore
  const first = watchOf(watchers, { ...small, stopTimeout: 60_000 });
  const middle = deferred();
  const goOn = deferred();
  let count = 0;
  read(first, async () => {
    if (++count === 200) middle.resolve();
    if (count >= 200) await goOn.promise;
  });
  await first.start();
  await db.sql('insert into jobs select generate_series(1, 3000)');
  await middle.promise;
  const stopped = first.stop();
  goOn.resolve();
  await stopped;
  expect(await done()).toEqual([]);
  const second = watchOf(watchers, small);
  read(second, async () => {});
  await second.start();
  await settled(db, second);
  expect(await done()).toHaveLength(3000);
});
