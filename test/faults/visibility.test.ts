/** A handler that selects the row finds it, however late the commit becomes visible. */
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Client } from 'pg';
import { compareLsn, createWatch, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { finder } from '../support/finding.ts';
import { startProxy } from '../support/proxy.ts';
import { startStandby } from '../support/standby.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
const table = 'create table entries (id int generated always as identity primary key)';

/** Writing to a disk takes time, and so leaves some between a commit that is sent and one that is visible. */
let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ settings: { fsync: true } });
  await inSession(cluster.url, (client) => client.query(table));
  return () => cluster[Symbol.asyncDispose]();
});

/** Watches while each handler selects its own row by the id, up to 64 of them at once. */
async function look(visibility: 'committed' | 'immediate') {
  const watch = createWatch({ connection: cluster.url, slot: slotName(), watchers, visibility });
  const sessions = [new Client(cluster.url), new Client(cluster.url)];
  await Promise.all(sessions.map((session) => session.connect()));
  onTestFinished(async () => {
    await watch.stop();
    await Promise.all(sessions.map((session) => session.end()));
  });
  const find = finder(sessions, 'entries');
  const finds = { seen: 0, missed: 0 };
  watch.subscribe(
    'entries:inserted',
    async ({ id }) => {
      if (!(await find(id))) finds.missed++;
      finds.seen++;
    },
    { concurrency: 64 },
  );
  await watch.start();
  return finds;
}

/** Sixteen concurrent writers, each with this many transactions of this many rows. Returns the number of rows written. */
async function write(transactions: number, rows: number, synchronousCommit = 'on'): Promise<number> {
  const writers = Array.from({ length: 16 }, () =>
    inSession(cluster.url, async (client) => {
      await client.query(`set synchronous_commit = ${synchronousCommit}`);
      await client.query(
        `do $$ begin for i in 1..${transactions} loop insert into entries select from generate_series(1, ${rows}); commit; end loop; end $$`,
      );
    }),
  );
  await Promise.all(writers);
  return writers.length * transactions * rows;
}

const allSeen = (finds: { readonly seen: number }, written: number) =>
  until(() => finds.seen >= written, {
    describe: () => `all ${written} events, so far ${finds.seen}`,
    timeout: 120_000,
  });

describe('under load', () => {
  test('a handler that selects the row by its id always finds it, 100,000 times', { timeout: 240_000 }, async () => {
    const finds = await look('committed');
    const written = await write(6250, 1);
    await allSeen(finds, written);
    expect(finds).toEqual({ seen: 100_000, missed: 0 });
  });

  test("with 'immediate' the same handler misses rows", { timeout: 240_000 }, async () => {
    const finds = await look('immediate');
    let written = 0;
    await until(
      async () => {
        written += await write(50, 1);
        await allSeen(finds, written);
        return finds.missed > 0;
      },
      { describe: 'a row that is not visible yet', timeout: 120_000 },
    );
  });
});

describe('others', () => {
  const db = useDatabase();
  const watchOf = watchOn(db);
  beforeAll(async () => {
    await db.sql(table);
  });

  test('a transaction that stays open does not delay others', async () => {
    const watch = watchOf(watchers);
    const seen: number[] = [];
    watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
    await watch.start();
    const open = await db.client();
    const reader = await db.client();
    await reader.query('begin isolation level repeatable read');
    await reader.query('select from entries');
    await open.query('begin');
    const [own] = (await open.query('insert into entries default values returning id')).rows as { id: number }[];
    const [row] = await db.sql<{ id: number }>('insert into entries default values returning id');
    await until(() => seen.length === 1, { describe: 'the event of the other transaction' });
    expect(seen).toEqual([row!.id]);
    expect(watch.status().waitingForVisibility).toBe(false);
    await open.query('commit');
    await until(() => seen.length === 2, { describe: 'the event of the transaction that was open' });
    expect(seen).toEqual([row!.id, own!.id]);
    await reader.query('rollback');
  });
});

describe('with a slow link', () => {
  const db = useDatabase();
  const watchOf = watchOn(db);
  beforeAll(async () => {
    await db.sql(table);
  });

  /** A watch whose questions arrive while their answers are held back, so several are pending. */
  const asking = async () => {
    const proxy = await startProxy(db.url);
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const slot = slotName();
    const watch = watchOf(watchers, { connection: proxy.url, slot });
    const seen: number[] = [];
    watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
    await watch.start();
    proxy.hold(':gate');
    const [row] = await db.sql<{ id: number }>('insert into entries default values returning id');
    const asked = new Set<string>();
    await until(
      async () => {
        const [session] = await db.sql<{ at: string }>(
          `select query_start::text as at from pg_stat_activity where application_name = $1 and query like 'execute%'`,
          [`walwatch/${slot}:gate`],
        );
        return session && asked.add(session.at).size >= 3;
      },
      { describe: () => `three questions without an answer, so far ${asked.size}` },
    );
    expect(seen).toEqual([]);
    return { watch, proxy, seen, id: row!.id };
  };

  test('the next questions are sent before the first is answered', async () => {
    const { proxy, seen, id } = await asking();
    proxy.release(':gate');
    await until(() => seen.length > 0, { describe: 'the event' });
    expect(seen).toEqual([id]);
  });

  test('a connection that is reset with pending questions is replaced, and the event is delivered once', async () => {
    const { watch, proxy, seen, id } = await asking();
    proxy.reset();
    await until(() => seen.length > 0, { describe: () => `the event: ${JSON.stringify(watch.status())}` });
    await watch.caughtUp();
    expect(seen).toEqual([id]);
  });
});

describe('commits that wait for a missing synchronous standby', () => {
  // Negative, so that they do not collide with the others.
  const ids = async (): Promise<number[]> =>
    inSession(cluster.url, async (client) =>
      (await client.query<{ id: number }>('select id from entries where id < 0 order by id')).rows.map(({ id }) => id),
    );

  const end = async (): Promise<string> =>
    inSession(
      cluster.url,
      async (client) =>
        (await client.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn')).rows[0]!.lsn,
    );

  const watchCluster = async (visibility: 'committed' | 'immediate') => {
    await cluster.reload({ synchronous_standby_names: '' });
    const watch: SlotWatch<typeof watchers> = createWatch({
      connection: cluster.url, slot: slotName(), watchers, visibility,
    }); // prettier-ignore
    onTestFinished(async () => {
      await watch.stop();
      await cluster.reload({ synchronous_standby_names: '' });
    });
    const seen: { readonly id: number; readonly visible: boolean }[] = [];
    watch.subscribe('entries:inserted', async ({ id }) => void seen.push({ id, visible: (await ids()).includes(id) }));
    await watch.start();
    await cluster.reload({ synchronous_standby_names: 'nobody' });
    return { watch, seen };
  };

  /** The commit hangs until the setting is reset. */
  const insert = (id: number, synchronousCommit = 'on') =>
    inSession(cluster.url, async (client) => {
      await client.query(`set synchronous_commit = ${synchronousCommit}`);
      await client.query('insert into entries (id) overriding system value values ($1)', [id]);
    });

  test("with 'immediate' the event comes before anybody can see the row", async () => {
    const { seen } = await watchCluster('immediate');
    const commit = insert(-1);
    await until(() => seen.length === 1, { describe: 'the event' });
    expect(seen).toEqual([{ id: -1, visible: false }]);
    await cluster.reload({ synchronous_standby_names: '' });
    await commit;
  });

  test("with 'committed' it is held, later changes wait behind it, and all are released in order", async () => {
    const { watch, seen } = await watchCluster('committed');
    const hanging = insert(-10);
    await until(() => watch.status().waitingForVisibility, { describe: 'the event to be held' });
    // These are visible at once, and are still delivered after it.
    await insert(-11, 'local');
    const beforeLast = await end();
    await insert(-12, 'off');
    await until(() => compareLsn(watch.status().receivedLsn ?? '0/0', beforeLast) > 0, {
      describe: 'the last one to be received',
    });
    expect(await ids()).toEqual(expect.arrayContaining([-11, -12]));
    expect(await ids()).not.toContain(-10);
    expect(seen).toEqual([]);
    expect(watch.status()).toMatchObject({ state: 'streaming', waitingForVisibility: true });

    await cluster.reload({ synchronous_standby_names: '' });
    await hanging;
    await until(() => seen.length === 3, { describe: 'the release' });
    expect(seen).toEqual([-10, -11, -12].map((id) => ({ id, visible: true })));
    expect(watch.status().waitingForVisibility).toBe(false);
  });

  test('a subscription made in the meantime gets the invisible changes, even as a whole transaction', async () => {
    const { watch } = await watchCluster('committed');
    const hanging = insert(-20);
    await until(() => watch.status().waitingForVisibility, { describe: 'the event to be held' });
    // Its end was received as well.
    const { receivedLsn } = watch.status();
    await insert(-21, 'local');
    await until(() => watch.status().receivedLsn !== receivedLsn, { describe: 'the next one' });
    const [events, transactions] = [[], []] as [number[], number[][]];
    watch.subscribe('entries:inserted', ({ id }) => void events.push(id));
    watch.onTransaction(async (transaction) => {
      transactions.push((await transaction.toArray()).map(({ event }) => event.id));
    });
    expect(await ids()).not.toContain(-20);
    await cluster.reload({ synchronous_standby_names: '' });
    await hanging;
    await until(() => transactions.length === 2, { describe: () => JSON.stringify([events, transactions]) });
    expect([events, transactions]).toEqual([[-20, -21], [[-20], [-21]]]); // prettier-ignore
  });
});

describe('with a synchronous standby that is slow', () => {
  beforeAll(async () => {
    const standby = await startStandby(cluster, { recovery_min_apply_delay: '50ms' });
    await cluster.reload({ synchronous_standby_names: 'walreceiver' });
    return async () => {
      await cluster.reload({ synchronous_standby_names: '' });
      await standby[Symbol.asyncDispose]();
    };
  });

  test('a handler that selects the row by its id always finds it, 100,000 times', { timeout: 240_000 }, async () => {
    const finds = await look('committed');
    const written = await write(10, 625, 'remote_apply');
    await allSeen(finds, written);
    expect(finds).toEqual({ seen: 100_000, missed: 0 });
  });

  test("with 'immediate' the same handler misses rows", { timeout: 240_000 }, async () => {
    const finds = await look('immediate');
    await allSeen(finds, await write(10, 1, 'remote_apply'));
    expect(finds.missed).toBeGreaterThan(0);
  });
});
