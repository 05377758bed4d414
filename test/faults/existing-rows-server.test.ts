/** Existing rows while the server, the table or the application gets in the way. */
import { expect, test } from 'vitest';
import { type Change, defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { writeTo } from '../support/copier.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

/** A table with this number of rows, a watch, and a copy that its changes are applied to. `pause`: of each handler, in milliseconds. */
async function copyOf(
  table: string,
  rows: number,
  { pause = 0, existing = {}, watchOptions = {} as object, slot = slotName() } = {},
) {
  await db.sql(`create table if not exists ${table} (id int primary key, version int not null default 0);
                alter table ${table} replica identity full;
                insert into ${table} (id) select n from generate_series(1, ${rows}) n on conflict do nothing`);
  const watchers = defineWatchers([
    [table, ['inserted', 'updated', 'deleted'], { extraColumns: ['version'] }],
    [table, 'truncated'],
  ] as never);
  const watch: any = watchOf(watchers as never, { slot, stopTimeout: 1000, ...watchOptions } as never);
  const copy = new Map<number, number>();
  const existingRows: string[] = [];
  const live: number[] = [];
  const wentBack: string[] = [];
  const apply = ({ type, event, context }: Change<any>) => {
    const { id, version } = event as { id: number; version: number };
    if ((context as any).existing) existingRows.push(context.eventId);
    else live.push(id);
    if (type === 'truncated') return copy.clear();
    if (type === 'deleted') return void copy.delete(id);
    if (type === 'updated') copy.delete((context.previous as any).id);
    if (version < (copy.get(id) ?? 0)) wentBack.push(`${id}: ${copy.get(id)} to ${version} by ${context.eventId}`);
    copy.set(id, version);
  };
  const warnings: WatchError[] = [];
  watch.on('warning', (warning: WatchError) => warnings.push(warning));
  const names = ['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${table}:${type}`);
  const handler = pause === 0 ? (change: Change<any>) => apply(change) : async (change: Change<any>) => {
    await new Promise((resolve) => setTimeout(resolve, pause));
    apply(change);
  }; // prettier-ignore
  const subscribe = () =>
    watch.subscribe(names, handler, { name: 'copy', existing: { version: 'v1', chunk: 50, ...existing } });
  return {
    watch, copy, wentBack, live, existingRows, warnings, slot, subscribe,
    told: () => warnings.filter(({ code }) => code === 'EXISTING_ROWS').map(({ message }) => message),
    table: async () => new Map((await db.sql<any>(`select id, version from ${table}`)).map(({ id, version }) => [id, version])),
  }; // prettier-ignore
}

const sorted = (map: Map<number, number>) => [...map].toSorted(([a], [b]) => a - b);

test.each([
  ['a column is added', 'alter table changed add extra text', 300],
  ['a column is dropped', 'alter table changed add gone int; alter table changed drop gone', 300],
  ['a type is changed, which rewrites it', 'alter table changed alter version type bigint', 300],
  ['it is rewritten by VACUUM FULL', 'vacuum full changed', 300],
  ['it is emptied', 'truncate changed', 0],
])('reading a table continues after %s in the middle', { timeout: 30_000 }, async (_, statement, rows) => {
  await db.sql('drop table if exists changed');
  const { watch, copy, table, subscribe, existingRows } = await copyOf('changed', 300, { pause: 1 });
  const subscription = subscribe();
  await watch.start();
  await until(() => existingRows.length > 60, { describe: 'some rows' });
  for (const one of statement.split('; ')) await db.sql(one);
  await subscription.existing.done;
  await settled(db, watch);
  expect(copy.size).toBe(rows);
  expect([...copy.keys()].toSorted((a, b) => a - b)).toEqual([...(await table()).keys()].toSorted((a, b) => a - b));
});

test('a table that is dropped in the middle ends its reading with a warning', { timeout: 30_000 }, async () => {
  const { watch, subscribe, existingRows, told } = await copyOf('dropped', 300, { pause: 1 });
  const subscription = subscribe();
  await watch.start();
  await until(() => existingRows.length > 60, { describe: 'some rows' });
  await db.sql('drop table dropped');
  await subscription.existing.done;
  expect(told().at(-1)).toMatch(/"public"."dropped" was dropped: its existing rows are not read further/);
});

test(
  'a lock on the table delays rows, causes one warning, and does not keep the slot from moving',
  { timeout: 30_000 },
  async () => {
    const { watch, copy, table, subscribe, existingRows, told } = await copyOf('locked', 300, { pause: 1 });
    const subscription = subscribe();
    await watch.start();
    await until(() => existingRows.length > 60, { describe: 'some rows' });
    const locker = await db.client();
    await locker.query('begin; lock table locked in access exclusive mode');
    await until(() => told().length > 0, { describe: 'the warning', timeout: 10_000 });
    const before = existingRows.length;
    await locker.query(`select pg_logical_emit_message(true, 'x', '')`);
    await settled(db, watch); // nothing is held back
    expect(existingRows.length - before).toBeLessThan(60);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await locker.query('update locked set version = 1 where id = 290; commit');
    await subscription.existing.done;
    await settled(db, watch);
    expect(told()).toHaveLength(1);
    expect(sorted(copy)).toEqual(sorted(await table()));
  },
);

test('the copy is right after very many key changes in the middle', { timeout: 60_000 }, async () => {
  const { watch, copy, table, subscribe, existingRows, told } = await copyOf('shifted', 22_000, {
    existing: { chunk: 500 },
  });
  const subscription = subscribe();
  await watch.start();
  await until(() => existingRows.length > 500, { describe: 'some rows' });
  await db.sql('update shifted set id = id - 100000 where id > 500');
  await subscription.existing.done;
  await settled(db, watch);
  expect(sorted(copy)).toEqual(sorted(await table()));
  expect(told().filter((message) => message.includes('changed their keys')).length).toBeLessThanOrEqual(1);
});

test('a huge transaction around a chunk passes through a small memory', { timeout: 60_000 }, async () => {
  const { watch, copy, wentBack, table, subscribe } = await copyOf('huge', 3000, {
    watchOptions: { highWaterMark: 100_000 },
  });
  await watch.start();
  const subscription = subscribe();
  const writer = await db.client();
  await writer.query('begin; update huge set version = version + 1');
  await until(() => subscription.existing.state === 'reading', { describe: 'the reading' });
  await writer.query('update huge set version = version + 1 where id % 2 = 0; commit');
  for (let round = 0; round < 3; round++) await writer.query('update huge set version = version + 1');
  await subscription.existing.done;
  await settled(db, watch);
  expect(wentBack).toEqual([]);
  expect(sorted(copy)).toEqual(sorted(await table()));
});

test(
  'a transaction that wrote before the stream began is waited for, and its rows are read',
  { timeout: 30_000 },
  async () => {
    const slot = slotName();
    const early = await copyOf('early', 10, { slot });
    await early.watch.start();
    await early.watch.stop();
    const { watch, copy, subscribe } = await copyOf('late_table', 0, { slot });
    const writer = await db.client();
    await writer.query(`begin; insert into late_table values (1); savepoint a; insert into late_table values (2)`);
    const subscription = subscribe();
    await watch.start();
    const state = await Promise.race([
      subscription.existing.done.then(() => 'done'),
      new Promise((resolve) => setTimeout(() => resolve('waits'), 500)),
    ]);
    expect(state).toBe('waits');
    await writer.query('commit');
    await subscription.existing.done;
    expect([...copy.keys()]).toEqual([1, 2]);
  },
);

test.each(['read', 'ignore'] as const)(
  'after a gap between two starts, afterGap: %s',
  { timeout: 30_000 },
  async (afterGap) => {
    const name = `gaps_${afterGap}`;
    const { watch, existingRows, subscribe, slot, told } = await copyOf(name, 200, {
      existing: { afterGap },
      watchOptions: {},
      slot: slotName(),
    });
    const subscription = subscribe();
    await watch.start();
    await subscription.existing.done;
    const { done } = subscription.existing;
    expect(existingRows).toHaveLength(200);
    const gap = new Promise<void>((resolve) => watch.on('gap', () => resolve()));
    await watch.stop();
    await db.dropSlot(slot);
    const next = await copyOf(name, 200, {
      existing: { afterGap },
      slot,
      watchOptions: { slot: { name: slot, onLost: 'recreate' } },
    });
    const again = next.subscribe();
    await next.watch.start();
    await again.existing.done;
    expect(next.existingRows).toHaveLength(afterGap === 'read' ? 200 : 0);
    if (afterGap === 'read') expect(next.existingRows[0]).toBe(`existing/v1/2/public.${name}/1`);
    expect(next.told()[0]).toMatch(
      afterGap === 'read'
        ? /changes were lost; its existing rows are read again/
        : /changes were lost; with afterGap: 'ignore'/,
    );
    expect(told()).toEqual([]);
    void gap;
    await done;
  },
);

test(
  'who subscribes after the start reads rows at once, and again if it had read them before',
  { timeout: 30_000 },
  async () => {
    const { watch, existingRows, subscribe, told } = await copyOf('subscribed', 50);
    await watch.start();
    const first = subscribe();
    await first.existing.done;
    expect(existingRows).toHaveLength(50);
    first.unsubscribe();
    await db.sql('insert into subscribed values (1000)');
    const second = subscribe();
    await second.existing.done;
    expect(existingRows).toHaveLength(101);
    expect(told()).toEqual([expect.stringMatching(/it subscribed after the start/)]);
  },
);

test(
  'rows are spliced exactly while four writers write, also with commits that are not durable at once',
  { timeout: 60_000 },
  async () => {
    const { watch, copy, table, subscribe } = await copyOf('busy', 2500, { pause: 1 });
    const subscription = subscribe();
    const end = writeTo(db, 'busy', { pause: 20 });
    await watch.start();
    await subscription.existing.done;
    await end();
    await settled(db, watch);
    expect(sorted(copy)).toEqual(sorted(await table()));
  },
);
