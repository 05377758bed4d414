/** Existing rows and row streams over NATS. */
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, onTestFinished, test } from 'vitest';
import { type Change, defineWatchers } from '../../src/index.ts';
import { relay } from '../../src/nats/index.ts';
import { sse } from '../../src/sse/index.ts';
import { cli, folder } from '../support/cli.ts';
import { useDatabase } from '../support/database.ts';
import { openStream } from '../support/event-stream.ts';
import { useNats } from '../support/nats.ts';
import { deleteLater, pairOn, remoteOf } from '../support/relaying.ts';
import { until } from '../support/until.ts';
import { nameOn, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const nats = useNats();
const watchOf = watchOn(db);
const pair = pairOn(watchOf, nats);

interface DB {
  items: { id: number; version: number; note: string | null };
}

test('existing rows are relayed once, and remote handlers tell them from changes', async () => {
  await db.sql(`create table items (id int primary key, version int not null default 0, note text);
                insert into items (id, note) select n, 'note "' || n || E'"\\n' from generate_series(1, 1200) n`);
  const watchers = defineWatchers<DB>()([['items', ['inserted', 'updated'], { extraColumns: ['version', 'note'] }]]);
  const slot = slotName();
  const connection = await nats.connect();
  deleteLater(connection, slot);
  const manager = await jetstreamManager(connection);
  const relayOnce = async (existing: string) => {
    await using worker = watchOf(watchers, { slot });
    const relayed = relay(worker, { connection, stream: slot, existing });
    await worker.start();
    await relayed.existing.done;
    expect(worker.status().existing).toMatchObject([{ subscription: `relay:${slot}`, state: 'done', rows: 1200 }]);
    await settled(db, worker);
    return (await manager.streams.info(slot)).state.messages;
  };
  expect(await relayOnce('v1')).toBe(1200);
  expect(await relayOnce('v1')).toBe(1200);
  // A worker that crashed before it stored its state publishes again: JetStream recognises the message ids.
  await db.sql(`update walwatch.existing set state = 'reading', cursor = '["400"]', rows = 400`);
  expect(await relayOnce('v1')).toBe(1200);

  const worker = watchOf(watchers, { slot });
  const relayed = relay(worker, { connection, stream: slot, existing: 'second "version"' });
  const remote = remoteOf({ connection: await nats.connect(), stream: slot, watchers });
  const changes: Change[] = [];
  remote.subscribe(['items:inserted', 'items:updated'], (change) => void changes.push(change));
  const page = await openStream(sse(remote, { authorize: () => true }), [['items:inserted']]);
  onTestFinished(() => page.close());
  await remote.start();
  await worker.start();
  await relayed.existing.done;
  await db.sql(`insert into items values (5000, 7); update items set version = 8 where id = 5000`);
  await until(() => changes.length === 1202, { describe: () => `1202 changes; so far ${changes.length}` });
  const rows = changes.filter(({ context }) => context.existing);
  expect(rows).toHaveLength(1200);
  expect(rows[0]).toMatchObject({
    watcher: 'items:inserted', type: 'inserted', event: { id: 1, version: 0, note: 'note "1"\n' },
    context: { eventId: 'existing/second "version"/1/public.items/1', commitLsn: '0/0', xid: 0, ordinal: 0, existing: true },
  }); // prettier-ignore
  expect(new Set(rows.map(({ context }) => context.eventId)).size).toBe(1200);
  expect(changes.filter(({ context }) => !context.existing).map(({ type, event }) => [type, event.id])).toEqual([
    ['inserted', 5000],
    ['updated', 5000],
  ]);
  // Browsers load the rows themselves.
  await page.has(({ data }) => data.includes('5000'));
  expect(page.changes.map(({ event }) => event.id)).toEqual([5000]);
}); // prettier-ignore

test('doctor and setup see a relay of existing rows: what it lacks is a problem', async () => {
  await db.sql('create table private (id int primary key); drop table if exists walwatch.existing');
  const role = `relay_${process.pid}`;
  const slot = nameOn(db);
  const url = new URL(db.url);
  [url.username, url.password] = [role, 'secret'];
  await db.sql(`create role ${role} login replication password 'secret'`);
  onTestFinished(async () => void (await db.sql(`drop owned by ${role}; drop role ${role}`)));
  const cwd = await folder({
    'walwatch.config.mjs': `import { connect } from '@nats-io/transport-node';
      import { defineConfig, defineWatchers } from 'walwatch';
      import { relay } from 'walwatch/nats';
      export default defineConfig({ slot: '${slot}', manage: 'verify', watchers: defineWatchers()([['private', 'inserted']]) });
      export async function subscribe(watch) {
        relay(watch, { connection: await connect({ servers: '${nats.url}' }), stream: 'private', existing: 'v1' });
      }`,
  });
  const examine = async () => {
    const { stdout } = await cli(['doctor', '--json'], { url: url.href, cwd });
    const { checks } = JSON.parse(stdout) as { checks: { name: string; level: string; found: string; fix?: string }[] };
    return checks.filter(({ name }) => ['existing rows', 'walwatch.existing', 'subscribe'].includes(name));
  };
  const first = await examine();
  expect(first).toMatchObject([
    { name: 'walwatch.existing', level: 'problem', found: expect.stringContaining('missing') },
    { name: 'existing rows', level: 'problem', found: `existing: the role '${role}' may not read "public"."private"` },
  ]);
  expect(await cli(['setup', '--yes', '--role', role], { url: db.url, cwd })).toMatchObject({ code: 0 });
  await db.sql(first[1]!.fix!);
  expect(await examine()).toMatchObject([{ name: 'existing rows', level: 'ok' }]);
}); // prettier-ignore

test('a list of watchers over NATS gets the changes of each record in commit order, whatever their type', async () => {
  await db.sql('create table records (id int primary key, version int not null); alter table records replica identity full');
  const watchers = defineWatchers<{ records: { id: number; version: number } }>()([
    ['records', ['inserted', 'updated', 'deleted'], { extraColumns: ['version'] }],
  ]);
  const { worker, remote, start } = await pair(watchers);
  const names = ['records:inserted', 'records:updated', 'records:deleted'] as const;
  const here = new Map<number, string[]>();
  const there = new Map<number, string[]>();
  const running = new Set<number>();
  const overlaps: number[] = [];
  const note = (to: Map<number, string[]>, { type, event }: Change) => {
    const steps = to.get(event.id) ?? [];
    to.set(event.id, [...steps, `${type} ${event.version}`]);
  };
  const count = (of: Map<number, string[]>) => [...of.values()].flat().length;
  worker.subscribe(names, (change) => note(here, change));
  remote.subscribe(
    names,
    async (change) => {
      const { id } = change.event;
      if (running.has(id)) overlaps.push(id);
      running.add(id);
      // Later changes of other records may be done earlier.
      for (let turns = (id * 7) % 5; turns > 0; turns--) await new Promise<void>((resolve) => setImmediate(resolve));
      note(there, change);
      running.delete(id);
    },
    { concurrency: 16 },
  );
  await start();
  const client = await db.client();
  for (let round = 1; round <= 20; round++) {
    await client.query(`insert into records select n, ${round * 10} from generate_series(1, 30) n`);
    await client.query(`update records set version = version + 1 where id % 2 = 0`);
    await client.query(`update records set version = version + 2 where id % 3 = 0`);
    await client.query(`delete from records`);
  }
  await settled(db, worker);
  await until(() => count(there) === count(here), { describe: () => `${count(here)} changes; so far ${count(there)}` });
  expect(overlaps).toEqual([]);
  expect(count(here)).toBe(20 * (30 + 15 + 10 + 30));
  expect(Object.fromEntries(there)).toEqual(Object.fromEntries(here));
}); // prettier-ignore
