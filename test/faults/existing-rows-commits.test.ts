/** Commits in unusual places while rows are read: their answer is late or lost, or they are huge. */
import { beforeAll, describe, expect, test } from 'vitest';
import { type Change, defineWatchers } from '../../src/index.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { createDatabase, type Database, useDatabase } from '../support/database.ts';
import { copyOn, sorted } from '../support/existing-copy.ts';
import { errorResponse, startProxy } from '../support/proxy.ts';
import { deferred, until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

describe('commits that wait for a synchronous standby', () => {
  let cluster: Cluster;
  let db: Database;
  beforeAll(async () => {
    cluster = await startCluster();
    const made = await createDatabase(cluster.url);
    db = made;
    return async () => {
      await made[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    };
  });

  // walwatch's own commits wait as well with `on`, which is the default.
  test.each(['local', 'on'])(
    "are not in a row before others can see them, with synchronous_commit = '%s' for walwatch",
    async (own) => {
      await db.sql(`alter database "${db.name}" set synchronous_commit = ${own}`);
      const name = `synced_${own}`;
      const hanging: Promise<unknown>[] = [];
      const begun = deferred<Date>();
      let confirmed = false;
      const early: string[] = [];
      const late = new Set([10, 130, 160, 300, -350, 1000]);
      const during = async ({ event, context }: Change<any>, count: number) => {
        if (!confirmed && late.has(event.id) && (event.version > 0 || event.id === 1000))
          early.push(`${event.id} by ${context.eventId}`);
        if (count === 120) await begin();
      };
      const { watch, copy, wrong, table, subscribe, existingRows } = await copyOn(db)(name, 400, { during });
      const commit = async (waits: 'on' | 'local', ...statements: string[]) => {
        const client = await db.client();
        await client.query(`set synchronous_commit = ${waits}`);
        return client.query(statements.join('; '));
      };
      const bump = (...ids: number[]) => `update ${name} set version = version + 1 where id in (${ids.join()})`;
      const begin = async () => {
        await cluster.reload({ synchronous_standby_names: 'nobody' });
        // Handled, in the current chunk, in the next one, and unread: updated, moved to where reading has been, deleted, new.
        hanging.push(
          commit('on', 'begin', bump(10, 130, 160, 300), 'commit'),
          commit('on', 'begin', `update ${name} set id = -id, version = version + 1 where id = 350`, 'commit'),
          commit('on', 'begin', `delete from ${name} where id = 380`, `insert into ${name} values (1000)`, 'commit'),
        );
        const waiting = `select from pg_stat_activity where datname = current_database() and wait_event = 'SyncRep' and query like '%${name}%'`;
        await until(async () => (await db.sql(waiting)).length === 3, { describe: 'three commits that wait' });
        await commit('local', bump(20, 140, 170, 310)); // seen at once, and behind the others in the stream
        await until(() => watch.status().waitingForVisibility, { describe: 'the gate to hold them' });
        const [now] = await db.sql<{ at: Date }>('select clock_timestamp() as at');
        begun.resolve(now!.at);
      };
      const subscription = subscribe();
      await watch.start();
      const at = await begun.promise;
      await until(() => existingRows.length >= 150, { describe: 'the rest of the chunk' });
      // The next one is read while they wait, but for a walwatch whose own commits wait.
      const chunk = `select from pg_stat_activity where datname = current_database() and application_name like '%:existing' and query like '%pg_current_snapshot%' and state = 'idle' and query_start > $1`;
      if (own === 'local')
        await until(async () => (await db.sql(chunk, [at])).length === 1, { describe: 'the next chunk' });
      expect(subscription.existing.state).toBe('reading');
      expect(early).toEqual([]);
      confirmed = true; // from the reload on
      await cluster.reload({ synchronous_standby_names: '' });
      await Promise.all(hanging);
      await subscription.existing.done;
      await settled(db, watch);
      expect(wrong).toEqual([]);
      expect(sorted(copy)).toEqual(sorted(await table()));
    },
  );

  test("the stored progress survives a crash of the server, with synchronous_commit = 'off' for walwatch as well", async () => {
    await db.sql(`alter database "${db.name}" set synchronous_commit = off`);
    await cluster.reload({ wal_writer_delay: '10s' });
    await using proxy = await startProxy(db.url);
    const { watch, slot, subscribe } = await copyOn(db)('recorded', 20, { watchOptions: { connection: proxy.url } });
    const subscription = subscribe();
    await watch.start();
    await subscription.existing.done;
    proxy.behave(errorResponse('57P03', 'the database system is starting up')); // it would store its progress again
    await cluster.restart('immediate');
    const [state] = await db.sql('select state from walwatch.existing where slot = $1', [slot]);
    expect(state).toEqual({ state: 'done' });
    await watch.stop();
  });
});

const db = useDatabase();

test('a huge transaction that begins before the snapshots of many chunks and ends after them passes through a small memory', async () => {
  const writer = await db.client();
  const steps: Readonly<Record<number, string>> = {
    60: 'begin; update huge set version = version + 1',
    375: 'update huge set version = version + 1 where id % 2 = 0; update huge set id = -id, version = version + 1 where id > 2900; commit',
    900: 'update huge set version = version + 1',
  };
  let most = 0;
  let rowsBetween = 0;
  const during = async (change: Change<any>, count: number) => {
    if (steps[count]) await writer.query(steps[count]);
    // The memory is full while rows of the chunk still wait.
    const isFull = () => watch.status().undeliveredBytes > 50_000;
    if (count === 375) await until(isFull, { describe: 'the memory to be full' });
    if (count > 60 && count < 375 && change.context.existing) rowsBetween++;
    most = Math.max(most, watch.status().undeliveredBytes);
  };
  const { watch, copy, wrong, table, subscribe } = await copyOn(db)('huge', 3000, {
    during,
    watchOptions: { highWaterMark: 100_000 },
  });
  const subscription = subscribe();
  await watch.start();
  await subscription.existing.done;
  await settled(db, watch);
  expect(rowsBetween).toBe(314); // several chunks while the transaction was open
  expect(wrong).toEqual([]);
  expect(sorted(copy)).toEqual(sorted(await table()));
  expect(most).toBeGreaterThan(50_000); // the limit was reached
  expect(most).toBeLessThan(400_000);
});

describe('a commit whose answer is lost', () => {
  const watchOf = watchOn(db);

  test.each([
    ['one by one', 'the handler', ':handler', {}],
    ['in batches', 'the handler', ':handler', { batch: { size: 6 } }],
    ['one by one', 'every session', '', {}],
    ['in batches', 'every session', '', { batch: { size: 6 } }],
  ])(
    'rows handled %s: when the connection of %s breaks, nothing is handled twice or lost',
    async (_, __, part, options) => {
      await db.sql(`drop table if exists lost, noted; create table lost (id int primary key, version int not null default 0);
      create table noted (event_id text, id int);
      create or replace function wait_at_commit() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return null; end $$;
      create constraint trigger waits after insert on noted deferrable initially deferred
        for each row when (new.event_id like '%/17') execute function wait_at_commit();
      insert into lost (id) select generate_series(1, 40)`);
      const locker = await db.client();
      await locker.query('select pg_advisory_lock(4711)');
      await using proxy = await startProxy(db.url);
      const watch: any = watchOf(
        defineWatchers([['lost', ['inserted', 'updated'], { extraColumns: ['version'] }]] as never) as never,
        { connection: proxy.url },
      );
      const calls: string[] = [];
      const handler = async (given: any, { client }: any) => {
        for (const { event, context } of [given].flat()) {
          calls.push(context.eventId);
          await client.query('insert into noted values ($1, $2)', [context.eventId, event.id]);
          if (context.existing && event.id === 3)
            await db.sql('update lost set version = 1 where id in (1, 16, 18, 30)');
        }
      };
      const subscription = watch.subscribe(['lost:inserted', 'lost:updated'], handler, {
      name: 'noting', transaction: true, existing: { version: 'v1', chunk: 20 }, ...options,
    }); // prettier-ignore
      await watch.start();
      const committing = `select from pg_stat_activity where datname = current_database() and application_name like '%:handler' and wait_event_type = 'Lock' and query ilike 'commit%'`;
      await until(async () => (await db.sql(committing)).length === 1, {
        describe: () => `the commit; ${calls.join(' ')}`,
      });
      proxy.reset(part);
      await locker.query('select pg_advisory_unlock(4711)'); // the server commits; the answer is lost
      await subscription.existing.done;
      await settled(db, watch);
      const noted = await db.sql<any>('select event_id, count(*)::int from noted group by event_id');
      expect(noted.filter(({ count }) => count > 1)).toEqual([]);
      expect(new Set(noted.map(({ event_id }) => event_id).filter((id) => id.startsWith('existing/')))).toEqual(
      new Set(Array.from({ length: 40 }, (___, n) => `existing/v1/1/public.lost/${n + 1}`)),
    ); // prettier-ignore
      expect(noted).toHaveLength(44);
      expect(calls.filter((id) => id.endsWith('/17'))).toHaveLength(1); // the handler was not called again
      const [state] = await db.sql('select state, rows::int from walwatch.existing where slot = $1', [
        watch.status().slot,
      ]);
      expect(state).toEqual({ state: 'done', rows: 40 });
    },
  );
});
