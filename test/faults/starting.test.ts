/** Starting takes few round trips, over sessions that connect side by side, and no walsender that it does not need. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { createWatch, defineWatchers, type SlotWatch, type WatchOptions } from '../../src/index.ts';
import { resolveOptions } from '../../src/options.ts';
import { Session, sessionConfig } from '../../src/postgres/session.ts';
import { readFacts } from '../../src/setup/facts.ts';
import { checkEntries } from '../../src/watchers/validate.ts';
import { startCluster } from '../support/cluster.ts';
import { useDatabase } from '../support/database.ts';
import { errorResponse, startProxy } from '../support/proxy.ts';
import { inSession } from '../support/template.ts';
import { until } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const watchers = defineWatchers<{ entries: { id: number; mood: string } }>()([
  ['entries', 'inserted'],
  ['entries', 'updated'],
]);
const makeTable = async () => {
  await db.sql(`drop table if exists entries; drop type if exists mood; create type mood as enum ('good', 'bad')`);
  await db.sql('create table entries (id int generated always as identity primary key, mood mood)');
};

async function proxied() {
  const proxy = await startProxy(db.url);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  return proxy;
}

/** How often each session waited for the server until events are streamed: control, gate, walsender. */
async function turnsUntilConnected(slot: string): Promise<readonly number[]> {
  const proxy = await proxied();
  const watch = watchOf(watchers, { slot, connection: proxy.url });
  let turns: readonly number[] = [];
  watch.on('connected', () => (turns = proxy.turns));
  await watch.start();
  await watch.stop();
  return turns;
}

describe('round trips', () => {
  // Each also takes one to connect, and the walsender's last one follows the last of control: 4 in all without a password.
  test('a start with everything in place takes one for set-up, whatever types the columns have', async () => {
    await makeTable();
    const slot = slotName();
    await turnsUntilConnected(slot);
    expect(await turnsUntilConnected(slot)).toEqual([
      2, // to log in; to read everything
      2, // to log in; to begin
      3, // to log in; to identify the server; to stream
    ]);
  });

  test('a reconnect takes no more', async () => {
    await makeTable();
    const proxy = await proxied();
    const watch = watchOf(watchers, { connection: proxy.url });
    const turns: (readonly number[])[] = [];
    watch.on('connected', () => turns.push(proxy.turns));
    await watch.start();
    // The server needs a moment to free the slot. Another attempt in this moment would take turns as well.
    proxy.behave(errorResponse('57P03', 'the database system is starting up'));
    proxy.reset();
    const active = 'select from pg_replication_slots where slot_name = $1 and active';
    await until(async () => (await db.sql(active, [watch.status().slot])).length === 0, { describe: 'a free slot' });
    proxy.behave('forward');
    await until(() => turns.length === 2, { describe: 'the reconnect' });
    expect(turns[1]!.slice(-3)).toEqual([2, 2, 3]);
  });

  test('a first start creates publication and slot in nine more', async () => {
    await makeTable();
    expect(await turnsUntilConnected(slotName())).toEqual([11, 2, 3]);
  });
});

test('all sessions of an attempt connect side by side, before the server has answered the first', async () => {
  await makeTable();
  const proxy = await proxied();
  proxy.behave('silent');
  const watch = watchOf(watchers, { connection: proxy.url });
  const started = watch.start().catch(() => {});
  await until(() => proxy.accepted === 3, { describe: 'three connections' });
  await watch.stop();
  await started;
});

test('a session that did not get our settings reads with no search path but ours', async () => {
  await makeTable();
  await db.sql(`
    create schema trap; create sequence trap.called;
    create function trap.eq(name, name) returns boolean language sql volatile as 'select pg_catalog.nextval(''trap.called'') is null';
    create operator trap.= (leftarg = name, rightarg = name, function = trap.eq)`);
  onTestFinished(async () => void (await db.sql('drop schema trap cascade')));
  const options = resolveOptions({ connection: db.url, slot: slotName(), watchers });
  const config = sessionConfig(options.connection, { name: 'test', connectTimeout: 5000 });
  const session = new Session({ ...config, options: '-c search_path=trap,pg_catalog' });
  onTestFinished(() => session.close());
  await session.connect();
  const facts = session.use((client) => readFacts(client, options, checkEntries(watchers.entries).watchers));
  await expect(facts).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  const [{ is_called }] = (await db.sql('select is_called from trap.called')) as [{ is_called: boolean }];
  expect(is_called).toBe(false);
});

describe('a server with a single walsender', () => {
  async function scarce() {
    const cluster = await startCluster({ settings: { max_wal_senders: 1 } });
    onTestFinished(() => cluster[Symbol.asyncDispose]());
    const sql = (text: string) => inSession(cluster.url, async (client) => (await client.query(text)).rows);
    await sql('create table entries (id int generated always as identity primary key, mood text)');
    const worker = (
      slot: WatchOptions<typeof watchers>['slot'],
      options: Partial<WatchOptions<typeof watchers>> = {},
    ): SlotWatch<typeof watchers> => {
      const watch = createWatch({ connection: cluster.url, slot, watchers, ...options });
      watch.subscribe('entries:inserted', () => {});
      onTestFinished(() => watch.stop());
      return watch;
    };
    return { sql, worker };
  }

  test('lets a standby wait, which keeps a single session, and takes over', async () => {
    const { sql, worker } = await scarce();
    const [first, second] = [worker('shared'), worker('shared')];
    await first.start();
    const errors: { code?: string }[] = [];
    second.on('disconnected', ({ error }) => errors.push(error ?? {}));
    const started = second.start();
    await until(() => second.status().state === 'standby', { describe: 'the standby' });
    const sessions = () =>
      sql(
        `select application_name as name from pg_stat_activity where application_name like 'walwatch/shared%' order by 1`,
      );
    const names = ['walwatch/shared', 'walwatch/shared:control', 'walwatch/shared:control', 'walwatch/shared:gate'];
    await until(async () => (await sessions()).length === names.length, {
      describe: 'the other sessions to be closed',
    });
    expect((await sessions()).map(({ name }) => name)).toEqual(names);
    expect(errors).toEqual([]);
    await first.stop();
    await started;
    // The server frees the slot a moment before it frees the place of the first worker's walsender.
    expect(errors.filter(({ code }) => code !== 'SERVER_BUSY')).toEqual([]);
  });

  test('is SERVER_BUSY for a worker of another slot, which names the limit, and is retried', async () => {
    const { worker } = await scarce();
    const [first, second] = [worker('one'), worker('two')];
    await first.start();
    const error = new Promise((resolve) => second.on('disconnected', (event) => resolve(event.error)));
    const started = second.start();
    expect(await error).toMatchObject({ code: 'SERVER_BUSY', message: expect.stringContaining('max_wal_senders') });
    await first.stop();
    await started;
  });

  test('stop() between two attempts warns of nothing', async () => {
    const { worker } = await scarce();
    const lines: string[] = [];
    const line = (_: object, message: string) => void lines.push(message);
    const logger = { debug() {}, info() {}, warn: line, error: line };
    const [first, second] = [worker('one'), worker({ temporary: true }, { logger })];
    await first.start();
    const disconnected = new Promise((resolve) => second.on('disconnected', resolve));
    const started = second.start();
    await disconnected;
    lines.length = 0;
    await second.stop();
    await started;
    expect(lines).toEqual([]);
  });
});
