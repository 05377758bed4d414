/** `caughtUp()` without other writers, so that the server has no reason to report its position; and on a standby server. */
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Client } from 'pg';
import { createWatch, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { wantedVersion } from '../support/binaries.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { replayed, startStandby } from '../support/standby.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { slotName } from '../support/watching.ts';

const version = wantedVersion(process.env);
const watchers = defineWatchers<{ entries: { id: number } }>()([['entries', 'inserted']]);
const table = 'create table entries (id int generated always as identity primary key)';

function watching(cluster: Cluster, slot: string) {
  const watch: SlotWatch<typeof watchers> = createWatch({ connection: cluster.url, slot, watchers });
  const seen: number[] = [];
  watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
  onTestFinished(() => watch.stop());
  return { watch, seen };
}

describe('on a server without other writers', () => {
  let cluster: Cluster;
  let client: Client;
  beforeAll(async () => {
    cluster = await startCluster({ settings: { autovacuum: false, checkpoint_timeout: '1d' } });
    client = new Client(cluster.url);
    await client.connect();
    await client.query(table);
    return async () => {
      await client.end();
      await cluster[Symbol.asyncDispose]();
    };
  });

  /** Writes a record every 15 s, which would hide a hang. */
  beforeEach(async () => {
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_stat_activity where backend_type = 'background writer'`,
    );
    const { pid } = rows[0]!;
    process.kill(pid, 'SIGSTOP');
    return () => void process.kill(pid, 'SIGCONT');
  });

  const end = async (): Promise<bigint> => {
    const { rows } = await client.query<{ bytes: string }>(
      `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text as bytes`,
    );
    return BigInt(rows[0]!.bytes);
  };
  /** Starts a watch, and waits until it has written its notes of the start. */
  const start = async (watch: SlotWatch<typeof watchers>) => {
    await watch.start();
    const noted = `select from pg_publication where pubname = $1 and obj_description(oid, 'pg_publication') like '%"worker"%'`;
    await until(async () => (await client.query(noted, [watch.status().publication])).rowCount === 1, {
      describe: 'the note in the publication',
    });
  };
  /** A transaction whose size is this plus that of its text, a multiple of 8. */
  const write = (size: number) => client.query(`select pg_logical_emit_message(true, 'test', repeat('x', $1))`, [size]);
  const pageSize = 8192n;

  test('an open transaction, whose changes are not flushed, does not delay it', async () => {
    const { watch, seen } = watching(cluster, slotName());
    await start(watch);
    const open = new Client(cluster.url);
    await open.connect();
    try {
      await open.query('begin');
      for (let round = 0; round < 5; round++) {
        await open.query('insert into entries default values');
        await watch.caughtUp();
      }
      expect(seen).toEqual([]);
      await open.query('commit');
      await watch.caughtUp();
      expect(seen).toHaveLength(5);
    } finally {
      await open.end();
    }
  });

  test('a record that ends with its page, so that the next one starts later, does not delay it', async () => {
    const { watch } = watching(cluster, slotName());
    await start(watch);
    await watch.caughtUp();
    // The least of several: a page that is read for the first time may be written into the WAL in between.
    let overhead = Infinity;
    for (let round = 0; round < 5; round++) {
      const before = await end();
      await write(1000);
      overhead = Math.min(overhead, Number((await end()) - before) - 1000);
    }
    await until(
      async () => {
        const room = Number(pageSize - ((await end()) % pageSize));
        await write(room > overhead + 300 ? room - overhead : 800);
        return (await end()) % pageSize === 24n;
      },
      { describe: 'a page to be full' },
    );
    await watch.caughtUp();
  });

  test('a commit that was not waited for is flushed and handled', async () => {
    const { watch, seen } = watching(cluster, slotName());
    await start(watch);
    const count = seen.length;
    await client.query('set synchronous_commit = off');
    for (let round = 1; round <= 5; round++) {
      await client.query('insert into entries default values');
      await watch.caughtUp();
      expect(seen).toHaveLength(count + round);
    }
    await client.query('reset synchronous_commit');
  });

  test('nothing is written when the answer is already there', async () => {
    const { watch } = watching(cluster, slotName());
    await start(watch);
    await watch.caughtUp();
    const before = await end();
    for (let round = 0; round < 5; round++) await watch.caughtUp();
    expect(await end()).toBe(before);
  });
});

test.skipIf(version < 16)('on a standby server everything replayed is handled', async () => {
  const sql = (cluster: Cluster, text: string) => inSession(cluster.url, (client) => client.query(text));
  const primary = await startCluster();
  onTestFinished(() => primary[Symbol.asyncDispose]());
  await sql(primary, table);
  const standby = await startStandby(primary);
  onTestFinished(() => standby[Symbol.asyncDispose]());
  await sql(primary, 'create publication caught_up_on_standby for table entries');
  await replayed(primary, standby);
  // It waits for a record of the running transactions, which an idle primary does not write.
  let made = false;
  const slot = sql(standby, `select pg_create_logical_replication_slot('caught_up_on_standby', 'pgoutput')`).then(
    () => (made = true),
  );
  await until(
    async () => {
      await sql(primary, 'select pg_log_standby_snapshot()');
      return made;
    },
    { describe: 'the slot on the standby' },
  );
  await slot;
  const { watch, seen } = watching(standby, 'caught_up_on_standby');
  await watch.start();
  for (let round = 1; round <= 5; round++) {
    await sql(primary, 'insert into entries default values');
    await replayed(primary, standby);
    await watch.caughtUp();
    expect(seen).toHaveLength(round);
  }
  await Promise.all([watch.caughtUp(), watch.caughtUp()]);
});
