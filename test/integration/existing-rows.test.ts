/** Rows that were in the table before the first start, delivered between the changes at exactly the right places. */
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Change, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { deferred, until } from '../support/until.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

interface DB {
  items: { id: number; version: number; note: string | null };
}

test('rows from before the first start are delivered once, as inserts with context.existing', async () => {
  await db.sql(`create table items (id int primary key, version int not null default 0, note text);
                insert into items (id, note) select n, 'note ' || n from generate_series(1, 2500) n; analyze items`);
  const watchers = defineWatchers<DB>()([['items', ['inserted', 'updated'], { extraColumns: ['version', 'note'] }]]);
  await using watch = watchOf(watchers, { slot: 'existing_once' });
  const delivered: Change[] = [];
  const subscription = watch.subscribe(['items:inserted', 'items:updated'], (change) => void delivered.push(change), {
    name: 'index',
    existing: { version: 'v1', chunk: 700 },
  });
  expect(subscription.existing.state).toBe('waiting');
  await watch.start();
  await subscription.existing.done;
  await db.sql('insert into items (id) values (9999)');
  await settled(db, watch);
  expect(subscription.existing).toMatchObject({ version: 'v1', state: 'done', rows: 2500, estimatedRows: 2500 });
  const rows = delivered.filter(({ context }) => context.existing);
  expect(rows.map(({ event }) => event.id).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 2500 }, (_, n) => n + 1),
  );
  expect(rows[41]).toMatchObject({
    watcher: 'items:inserted', type: 'inserted', event: { id: 42, version: 0, note: 'note 42' },
    context: { eventId: 'existing/v1/1/public.items/42', commitLsn: '0/0', xid: 0, table: 'items', attempt: 1 },
  }); // prettier-ignore
  expect(delivered.filter(({ context }) => !context.existing).map(({ event }) => event.id)).toEqual([9999]);
  expect(watch.status().existing).toMatchObject([{ subscription: 'index', state: 'done', rows: 2500 }]);
});

test('the same version does nothing at the next start, and a new version reads all rows again', async () => {
  const watchers = defineWatchers<DB>()([['items', 'inserted', { extraColumns: ['version'] }]]);
  const read = async (version: string) => {
    await using watch = watchOf(watchers, { slot: 'existing_versions' });
    let count = 0;
    const subscription = watch.subscribe('items:inserted', () => void count++, { name: 'index', existing: version });
    await watch.start();
    await subscription.existing.done;
    return count;
  };
  const rows = 2501;
  expect([await read('v1'), await read('v1'), await read('v2'), await read('v2')]).toEqual([rows, 0, rows, 0]);
});

test.each([
  { declared: ['inserted', 'updated'], follows: true },
  { declared: ['inserted'], follows: false }, // PostgreSQL is not asked for updates: docs/concepts/existing-rows.md
] as const)(
  'a list of inserts only gets a row whose key moves to where reading has been, if the watch has $declared',
  async ({ declared, follows }) => {
    await db.sql(`drop table if exists moving; create table moving (id int primary key);
                  insert into moving select generate_series(1, 100)`);
    const watchers = defineWatchers<{ moving: { id: number } }>()([['moving', declared]]);
    await using watch = watchOf(watchers);
    const [held, ids] = [deferred(), [] as number[]];
    const subscription = watch.subscribe(
      ['moving:inserted'],
      async ({ event }) => {
        ids.push(event.id);
        if (ids.length === 20) await held.promise;
      },
      { name: 'index', existing: { version: 'v1', chunk: 15 } },
    );
    await watch.start();
    await until(() => ids.length === 20, { describe: '20 rows' });
    await db.sql('update moving set id = -90 where id = 90');
    held.resolve();
    await subscription.existing.done;
    expect(ids.includes(-90)).toBe(follows);
    expect(ids.filter((id) => id > 0)).toEqual(Array.from({ length: 100 }, (_, n) => n + 1).filter((id) => id !== 90));
  },
);

const handlers = {
  'a handler that is done at once': { options: {}, pause: 0 },
  'a slow handler': { options: {}, pause: 1 },
  'concurrency 8': { options: { concurrency: 8 }, pause: 2 },
  'batches of the latest': { options: { batch: { size: 50, latest: true } }, pause: 1 },
};

test.each(Object.entries(handlers))(
  'with four writers and %s, applied changes give the table, and no record goes back',
  async (_, { options, pause }) => {
    const table = `written_${Object.values(handlers).findIndex((one) => one.options === options)}`;
    await db.sql(`create table ${table} (id int primary key, version int not null default 0, note text);
                  alter table ${table} replica identity full;
                  insert into ${table} (id) select n * 2 from generate_series(1, 3000) n`);
    const watchers = defineWatchers([
      [table, ['inserted', 'updated', 'deleted'], { extraColumns: ['version', 'note'] }],
      [table, 'truncated'],
    ] as any);
    const watch: any = watchOf(watchers as never, { slot: table });
    const copy = new Map<number, { id: number; version: number; note: string | null }>();
    const wrong: string[] = [];
    const apply = ({ type, event, context }: Change) => {
      const { id, version } = event;
      if (type === 'truncated') return copy.clear();
      if (type === 'deleted') return void copy.delete(id);
      const before = copy.get(type === 'updated' ? (context.previous['id'] as number) : id);
      const latest = (options as { batch?: object }).batch !== undefined;
      if (
        before &&
        (latest
          ? version < before.version
          : context.existing
            ? version !== before.version
            : version !== before.version + 1)
      )
        wrong.push(`${id}: ${before.version} → ${version} by ${context.eventId}`);
      if (type === 'updated') copy.delete(context.previous['id'] as number);
      copy.set(id, { ...event });
    };
    const handler = async (given: Change | readonly Change[]) => {
      for (let turns = 0; turns < pause; turns++) await turn();
      for (const change of [given].flat() as Change[]) apply(change);
    };
    const names = ['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${table}:${type}`);
    const called = pause === 0 ? (change: Change) => apply(change) : handler;
    const subscription = watch.subscribe(names, called, {
      name: 'copy',
      existing: { version: '1', chunk: 97 },
      ...options,
    });
    let writing = true;
    const writers = Array.from({ length: 4 }, async (__, writer) => {
      const client = await db.client();
      for (let n = 0; writing; n++) {
        const id = 1 + Math.floor(Math.random() * 7000);
        const other = 1 + Math.floor(Math.random() * 7000);
        const commands = [
          `update ${table} set version = version + 1, note = 'w${writer}' where id between ${id} and ${id + 3}`,
          `insert into ${table} (id) values (${id}) on conflict (id) do update set version = ${table}.version + 1`,
          `delete from ${table} where id = ${id}`,
          `update ${table} set id = ${other}, version = version + 1 where id = ${id}`,
          `begin; savepoint a; update ${table} set version = version + 1 where id = ${id}; rollback to a; update ${table} set version = version + 1 where id = ${other}; commit`,
        ];
        await client
          .query(commands[n % commands.length]!)
          .catch(() => client.query('rollback').catch(() => (writing = false)));
      }
    });
    await watch.start();
    await subscription.existing.done;
    writing = false;
    await Promise.all(writers);
    await settled(db, watch);
    const rows = await db.sql(`select id, version, note from ${table} order by id`);
    expect(wrong).toEqual([]);
    expect([...copy.values()].toSorted((a, b) => a.id - b.id)).toEqual(rows);
    await watch.stop();
  },
);

test('a chunk ends early when its rows are large, and none of them is left out', async () => {
  await db.sql(`create table large (id int primary key, note text);
                alter table large alter note set storage external;
                insert into large select n, repeat('x', case when n between 100 and 140 then 1000000 else 10 end) from generate_series(1, 2000) n`);
  const watchers = defineWatchers([['large', 'inserted', { extraColumns: ['note'] }]] as any);
  await using watch: any = watchOf(watchers as never, { slot: 'existing_large' });
  const ids: number[] = [];
  let most = 0;
  const handler = ({ id }: { id: number }) => {
    ids.push(id);
    most = Math.max(most, process.memoryUsage().heapUsed);
  };
  const before = process.memoryUsage().heapUsed;
  const subscription = watch.subscribe('large:inserted', handler, { name: 'index', existing: 'v1' });
  await watch.start();
  await subscription.existing.done;
  expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 2000 }, (_, n) => n + 1));
  expect(ids).toHaveLength(2000);
  expect(most - before).toBeLessThan(100e6);
});
