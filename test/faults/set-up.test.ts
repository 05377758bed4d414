/** Several workers set up the same objects at the same moment, or objects of others are in the way. */
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchError, type WatchOptions } from '../../src/index.ts';
import { resolveOptions, type ResolvedOptions } from '../../src/options.ts';
import type { Server } from '../../src/postgres/server.ts';
import { Session, sessionConfig } from '../../src/postgres/session.ts';
import { TypeCatalog } from '../../src/postgres/types.ts';
import { changeMarker } from '../../src/setup/apply.ts';
import { claimed } from '../../src/setup/marker.ts';
import { noMemory } from '../../src/setup/memory.ts';
import { prepare } from '../../src/setup/prepare.ts';
import { checkEntries } from '../../src/watchers/validate.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';
import { dropSlotAndPublication, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
beforeAll(() => db.sql('create table entries (id int primary key); create table others (id int primary key)'));
const entries = defineWatchers([['entries', 'inserted']]);
const both = defineWatchers([['entries', 'inserted'], ['others', 'updated']]); // prettier-ignore

/** Starts all at the same moment. One streams, the others are on standby, and none ends. */
async function oneStreams(watches: readonly SlotWatch<any>[]): Promise<SlotWatch<any>> {
  const ended: unknown[] = [];
  for (const watch of watches) {
    watch.closed.catch((error: unknown) => ended.push(error));
    watch.start().catch(() => {});
  }
  const states = () => watches.map((watch) => watch.status().state).toSorted();
  const wanted = [...watches.slice(1).map(() => 'standby'), 'streaming'];
  await until(() => ended.length > 0 || String(states()) === String(wanted), {
    describe: () => `one to stream and the others to be on standby: ${states().join()}`,
    timeout: 30_000,
  });
  expect(ended).toEqual([]);
  return watches.find((watch) => watch.status().state === 'streaming')!;
}
const replicas = (options: Partial<WatchOptions>, watchers: any = entries) =>
  [1, 2, 3].map(() => watchOf(watchers, options as never));

test('in a first deployment one replica streams, and the others are on standby', async () => {
  for (let round = 0; round < 5; round++) {
    const watches = replicas({ slot: slotName() });
    await oneStreams(watches);
    await Promise.all(watches.map((watch) => watch.stop()));
  }
});

test('the same with a transaction open at the start, which is waited for', async () => {
  const writer = await db.client();
  await writer.query('begin; insert into others values (1)');
  const slot = slotName();
  const watches = replicas({ slot });
  const streams = oneStreams(watches);
  await until(async () => (await db.sql('select from pg_replication_slots where slot_name = $1', [slot])).length > 0, {
    describe: 'the slot to be in the making',
  });
  await writer.query('rollback');
  await streams;
});

test('the same when a lost slot is re-created, and the streaming worker reports the gap', async () => {
  const slot = slotName();
  const first = watchOf(entries, { slot });
  await first.start();
  await first.stop();
  await db.dropSlot(slot);
  const watches = replicas({ slot: { name: slot, onLost: 'recreate' } });
  const gaps = recorder();
  for (const watch of watches) watch.on('gap', gaps);
  await oneStreams(watches);
  expect(gaps.all).toEqual([expect.objectContaining({ reason: `the slot '${slot}' was dropped` })]);
});

test('the same when all of them add a table to the publication', async () => {
  const slot = slotName();
  const first = watchOf(entries, { slot });
  await first.start();
  await first.stop();
  await oneStreams(replicas({ slot }, both));
});

const sessionWith = async ({ connection }: ResolvedOptions) => {
  const session = new Session(sessionConfig(connection, { name: 'test', connectTimeout: 5000 }));
  await session.connect();
  onTestFinished(() => session.close());
  return session;
};

test('a worker that dies between re-creating a slot and reporting the gap leaves the gap to the next', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  const { watchers } = checkEntries(entries.entries);
  const options = resolveOptions({ connection: db.url, slot: { name: slot, onLost: 'recreate' }, watchers: entries });
  const session = await sessionWith(options);
  const prepared = () =>
    session.use((client) => prepare(client, options, watchers, new TypeCatalog(undefined), noMemory, async () => []));
  expect((await prepared()).gap).toBeUndefined();
  await db.sql('select pg_drop_replication_slot($1)', [slot]);
  const { gap, server } = await prepared();
  expect(gap).toMatchObject({ reason: `the slot '${slot}' was dropped`, to: expect.stringContaining('/') });
  expect((await prepared()).gap).toEqual(gap);
  // The note of a worker that streams, and so has reported it.
  const claimant = { worker: 'this one', watchers: [] };
  await session.use((client) => changeMarker(client, options, server, (marker) => claimed(marker, claimant, gap!.to)));
  expect((await prepared()).gap).toBeUndefined();
});

test('a worker that sees a new slot, but not yet the note of the worker that re-created it, reports the gap of that note', async () => {
  const slot = slotName();
  const first = watchOf(entries, { slot });
  await first.start();
  await first.stop();
  await db.dropSlot(slot);
  await db.sql(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  const gap = { from: '0/1', to: '0/2', reason: `the slot '${slot}' was dropped` };
  const { watchers } = checkEntries(entries.entries);
  const options = resolveOptions({ connection: db.url, slot: { name: slot, onLost: 'recreate' }, watchers: entries });
  const session = await sessionWith(options);
  const prepared = await session.use((client) => {
    let isNoted = false;
    const noteMeanwhile = async (_: unknown, server: Server) => {
      if (!isNoted) await changeMarker(client, options, server, (marker) => ({ ...marker, gap }));
      isNoted = true;
      return [];
    };
    return prepare(client, options, watchers, new TypeCatalog(undefined), noMemory, noteMeanwhile);
  });
  expect(prepared.gap).toEqual(gap);
});

const described = async (name: string) =>
  (
    await db.sql(
      `select (select array_agg(tablename::text order by 1) from pg_publication_tables where pubname = p.pubname) as tables,
              puballtables, pubinsert, pubupdate, pubdelete, pubtruncate from pg_publication p where pubname = $1`,
      [name],
    )
  )[0];

test.each(['for table entries, others', 'for all tables'])(
  'a publication that somebody else made %s loses nothing',
  async (kind) => {
    const publication = slotName();
    await db.sql(`create publication "${publication}" ${kind}`);
    const before = await described(publication);
    // Its name does not make it ours.
    for (const slot of [slotName(), publication]) {
      const watch = watchOf(entries, { publication, slot });
      await watch.start();
      await settled(db, watch);
      await watch.stop();
      expect(await described(publication)).toEqual(before);
    }
  },
);

test("with 'verify' a slot that was dropped is lost, and not one that was never made", async () => {
  const slot = slotName();
  const first = watchOf(entries, { slot });
  await first.start();
  await first.stop();
  await db.sql('select pg_drop_replication_slot($1)', [slot]);
  const error: WatchError = await watchOf(entries, { slot, manage: 'verify' }).start().then(
    () => expect.fail('it started'),
    (thrown: WatchError) => thrown,
  ); // prettier-ignore
  expect(error).toMatchObject({
    code: 'SLOT_LOST',
    message: expect.stringMatching(/changes after [0-9A-F]+\/[0-9A-F]+/),
  });
  await db.sql(
    /then start again: .*(SELECT pg_catalog.pg_create_logical_replication_slot\(.*?\));/.exec(error.solution!)![1]!,
  );
  await watchOf(entries, { slot, manage: 'verify' }).start();
});

test('a slot that sends prepared transactions is refused at the start, with the SQL that re-creates it', async () => {
  const slot = slotName();
  onTestFinished(() => dropSlotAndPublication(db, slot));
  await db.sql(`create publication "${slot}" for table entries`);
  await db.sql(`select pg_create_logical_replication_slot($1, 'pgoutput', false, true)`, [slot]);
  await expect(watchOf(entries, { slot }).start()).rejects.toMatchObject({
    code: 'CONFIGURATION', message: expect.stringContaining('two_phase'), solution: expect.stringMatching(/TWO_PHASE|pg_drop_replication_slot/),
  }); // prettier-ignore
});

const live = () =>
  db.sql<{ publications: number; slots: number; walsenders: number }>(
    `select (select count(*)::int from pg_publication where pubname like 'walwatch_live%') as publications,
            (select count(*)::int from pg_replication_slots where temporary and database = current_database()) as slots,
            (select count(*)::int from pg_stat_activity where backend_type = 'walsender' and datname = current_database()) as walsenders`,
  );

test('live watches that all lose their connections do not remove each other’s publications', async () => {
  const watches = Array.from({ length: 6 }, () => watchOf(entries, { slot: { temporary: true } }));
  const ended: unknown[] = [];
  for (const watch of watches) watch.closed.catch((error: unknown) => ended.push(error));
  const gaps = watches.map(() => 0);
  watches.forEach((watch, i) => watch.on('gap', () => gaps[i]!++));
  const seen = watches.map((): number[] => []);
  watches.forEach((watch, i) => watch.subscribe('entries:inserted', ({ id }) => void seen[i]!.push(id as number)));
  await Promise.all(watches.map((watch) => watch.start()));
  for (let round = 1; round <= 3; round++) {
    await db.sql(`select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and application_name like 'walwatch/%'`);
    await until(() => ended.length > 0 || gaps.every((count) => count >= round), {
      describe: 'all to be back',
    });
    expect(ended).toEqual([]);
  }
  await db.sql('insert into entries values (1000)');
  await until(() => seen.every((ids) => ids.includes(1000)), { describe: 'the event in all of them' });
  await Promise.all(watches.map((watch) => watch.stop()));
  expect((await live())[0]!.publications).toBe(0);
});

test('a temporary slot with a name drops the publication that was made for it, and only that', async () => {
  const [made, given] = [slotName(), slotName()];
  await db.sql(`create publication "${given}" for table entries`);
  onTestFinished(() => db.sql(`drop publication "${given}"`).then(() => {}));
  for (const name of [made, given]) {
    const watch = createWatch({ connection: db.url, slot: { temporary: true, name }, watchers: entries });
    await watch.start();
    await watch.stop();
  }
  expect(await described(made)).toBeUndefined();
  expect(await described(given)).toBeDefined();
});
