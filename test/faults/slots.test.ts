/** The slot or the publication is in use, lost, or cannot be created. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { inSession } from '../support/template.ts';
import { deferred, until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
beforeAll(async () => {
  await db.sql(
    'create table entries (id int generated always as identity primary key, record int default 0, version int default 0)',
  );
  await db.sql('create table others (id int generated always as identity primary key)');
});

interface Tables {
  entries: { id: number };
  others: { id: number };
}
const watchers = defineWatchers<Tables>()([['entries', 'inserted']]);
const both = defineWatchers<Tables>()([
  ['entries', 'inserted'],
  ['others', 'inserted'],
]);

const insert = async (table = 'entries') =>
  (await db.sql<{ id: number }>(`insert into ${table} default values returning id`))[0]!.id;
const listen = (watch: SlotWatch<any>, watcher = 'entries:inserted') => {
  const seen: number[] = [];
  watch.subscribe(watcher, ({ id }: any) => void seen.push(id));
  return seen;
};

test('a standby takes over from a worker that is killed, and misses nothing', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const worker: ChildProcess = spawn(process.execPath, ['.build/test/programs/recorder.js', db.url, slot], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void worker.kill('SIGKILL'));
  await once(worker.stdout!, 'data'); // it has started
  const standby = watchOf(watchers, { slot });
  const seen = listen(standby);
  const waits = new Promise((resolve) => standby.on('standby', resolve));
  const started = standby.start();
  await waits;
  expect(standby.status().state).toBe('standby');
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  const id = await insert();
  await started;
  await settled(db, standby);
  expect(seen).toContain(id);
});

test('a slot whose WAL is removed is SLOT_LOST, with the reason; re-created only on request, with both ends of the gap', async () => {
  await using cluster = await startCluster({
    settings: { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' },
  });
  const sql = (text: string) => inSession(cluster.url, async (client) => (await client.query(text)).rows);
  await sql('create table entries (id int generated always as identity primary key)');
  const slot = slotName();
  const watches: SlotWatch<typeof watchers>[] = [];
  const watchCluster = (onLost: 'stop' | 'recreate') => {
    const made = createWatch({ connection: cluster.url, slot: { name: slot, onLost }, watchers, stopTimeout: 10 });
    watches.push(made);
    return made;
  };
  try {
    const watch = watchCluster('stop');
    const hang = deferred();
    watch.subscribe('entries:inserted', () => hang.promise);
    await watch.start();
    await sql('insert into entries default values');
    await until(() => watch.status().running === 1, { describe: 'the handler' });
    const ended = watch.closed.catch((error: unknown) => error);
    await until(
      async () => {
        // 16 MB each, and the checkpoint removes WAL beyond the limit, even if a slot needs it.
        await sql(`select pg_logical_emit_message(false, 'filler', ''), pg_switch_wal()`);
        await sql('checkpoint');
        return (await sql(`select wal_status from pg_replication_slots`))[0].wal_status === 'lost';
      },
      { describe: 'the slot to be lost' },
    );
    expect(await ended).toMatchObject({ code: 'SLOT_LOST', message: expect.stringMatching(/wal_removed|invalidat/) });
    await expect(watchCluster('stop').start()).rejects.toMatchObject({
      code: 'SLOT_LOST',
      message: expect.stringContaining('wal_removed'),
    });
    const again = watchCluster('recreate');
    const seen: number[] = [];
    const gaps = recorder();
    again.on('gap', gaps);
    again.subscribe('entries:inserted', ({ id }) => void seen.push(id));
    await again.start();
    const lsn = expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/);
    expect(gaps.all).toEqual([{ from: lsn, to: lsn, reason: expect.stringContaining('wal_removed') }]);
    await sql('insert into entries default values');
    await until(() => seen.length > 0, { describe: 'the first event after the gap' });
    expect(seen).toEqual([2]);
  } finally {
    await Promise.all(watches.map((one) => one.stop()));
  }
});

test('a publication that is dropped while in use is PUBLICATION_LOST', async () => {
  const watch = watchOf(watchers);
  await watch.start();
  await settled(db, watch);
  const ended = watch.closed.catch((error: unknown) => error);
  await db.sql(`drop publication ${watch.status().publication}`);
  // Up to 17 decoding fails at the next change; from 18 on the catalog reveals it.
  await insert();
  expect(await ended).toMatchObject({ code: 'PUBLICATION_LOST' });
});

test.each([
  ['more', watchers, both],
  ['fewer', both, watchers],
] as const)(
  'in a rolling deploy to a version that watches %s tables the old one misses nothing',
  async (_, before, after) => {
    const slot = slotName();
    const [old, next] = [watchOf<any>(before, { slot }), watchOf<any>(after, { slot })];
    const seen = { entries: [] as number[], others: [] as number[] };
    const subscribe = (watch: SlotWatch<any>, sides: typeof both | typeof watchers) => {
      for (const table of sides === both ? (['entries', 'others'] as const) : (['entries'] as const))
        watch.subscribe(`${table}:inserted`, ({ id }: any) => void seen[table].push(id));
    };
    subscribe(old, before);
    await old.start();
    const waits = new Promise((resolve) => next.on('standby', resolve));
    subscribe(next, after);
    const started = next.start();
    const written = { entries: [] as number[], others: [] as number[] };
    const write = async () => {
      written.entries.push(await insert());
      const other = await insert('others');
      if (old.status().state === 'streaming' && before === both) written.others.push(other);
    };
    await write();
    await waits;
    for (let count = 0; count < 10; count++) await write();
    await settled(db, old);
    expect(seen).toEqual(written);
    await old.stop();
    await started;
    written.entries.push(await insert());
    if (after === both) written.others.push(await insert('others'));
    await settled(db, next);
    expect(seen.entries).toEqual(written.entries);
    expect(seen.others).toEqual(written.others);
  },
);

test('a worker that would be a synchronous standby is refused, and commits do not wait for it', async () => {
  await using cluster = await startCluster({ settings: { synchronous_standby_names: '*' } });
  const slot = slotName();
  await inSession(cluster.url, async (client) => {
    // No standby could confirm it.
    await client.query('set synchronous_commit = local');
    await client.query('create table entries (id int generated always as identity primary key)');
    await client.query(`create publication ${slot} for table entries`);
    await client.query(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  });
  const options = { connection: cluster.url, slot, watchers, manage: 'verify' } as const;
  const refused = createWatch(options);
  await expect(refused.start()).rejects.toMatchObject({ code: 'SYNCHRONOUS_STANDBY' });
  await refused.stop();

  const watch = createWatch({ ...options, visibility: 'immediate' });
  const warnings: string[] = [];
  watch.on('warning', ({ code }) => warnings.push(code));
  const seen: number[] = [];
  watch.subscribe('entries:inserted', ({ id }) => void seen.push(id));
  await watch.start();
  try {
    expect(warnings).toContain('SYNCHRONOUS_STANDBY');
    // This commit waits for our acknowledgement, which is sent because visibility is not waited for.
    await inSession(cluster.url, (client) => client.query('insert into entries default values'));
    expect(seen).toEqual([1]);
  } finally {
    await watch.stop();
  }
  const commit = inSession(cluster.url, (client) => client.query('insert into entries default values'));
  await cluster.reload({ synchronous_standby_names: '' });
  await commit;
});
