/** A handler that looks for the row finds it, however late the commit becomes visible. */
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Pool } from 'pg';
import { compareLsn, createWatch, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
const table = 'create table entries (id int generated always as identity primary key)';

describe('under load', () => {
  const db = useDatabase();
  const watchOf = watchOn(db);
  beforeAll(async () => {
    await db.sql(table);
  });

  test('a handler that selects the row by its id always finds it', { timeout: 120_000 }, async () => {
    const pool = new Pool({ connectionString: db.url, max: 4 });
    try {
      const watch = watchOf(watchers);
      const missed: number[] = [];
      let seen = 0;
      watch.subscribe('entries:inserted', async ({ id }) => {
        const { rowCount } = await pool.query('select from entries where id = $1', [id]);
        if (rowCount !== 1) missed.push(id);
        seen++;
      }, { concurrency: 4 }); // prettier-ignore
      await watch.start();
      const [writers, rows] = [4, 1000];
      await Promise.all(
        Array.from({ length: writers }, () =>
          db.sql(`do $$ begin for i in 1..${rows} loop insert into entries default values; commit; end loop; end $$`),
        ),
      );
      await settled(db, watch);
      expect(seen).toBe(writers * rows);
      expect(missed).toEqual([]);
    } finally {
      await pool.end();
    }
  });

  test('a transaction that stays open holds up nobody', async () => {
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

describe('commits that wait for a synchronous standby which is not there', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await inSession(cluster.url, (client) => client.query(table));
    return () => cluster[Symbol.asyncDispose]();
  });

  const ids = async (): Promise<number[]> =>
    inSession(cluster.url, async (client) =>
      (await client.query<{ id: number }>('select id from entries order by id')).rows.map(({ id }) => id),
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
    const commit = insert(1);
    await until(() => seen.length === 1, { describe: 'the event' });
    expect(seen).toEqual([{ id: 1, visible: false }]);
    await cluster.reload({ synchronous_standby_names: '' });
    await commit;
  });

  test("with 'committed' it is held, what follows waits behind it, and all is released in order", async () => {
    const { watch, seen } = await watchCluster('committed');
    const hanging = insert(10);
    await until(() => watch.status().waitingForVisibility, { describe: 'the event to be held' });
    // These are visible at once, and still come after it.
    await insert(11, 'local');
    const beforeLast = await end();
    await insert(12, 'off');
    await until(() => compareLsn(watch.status().receivedLsn ?? '0/0', beforeLast) > 0, {
      describe: 'the last one to be received',
    });
    expect(await ids()).toEqual(expect.arrayContaining([11, 12]));
    expect(await ids()).not.toContain(10);
    expect(seen).toEqual([]);
    expect(watch.status()).toMatchObject({ state: 'streaming', waitingForVisibility: true });

    await cluster.reload({ synchronous_standby_names: '' });
    await hanging;
    await until(() => seen.length === 3, { describe: 'the release' });
    expect(seen).toEqual([10, 11, 12].map((id) => ({ id, visible: true })));
    expect(watch.status().waitingForVisibility).toBe(false);
  });
});
