/** One subscription to several watchers: changes of a record in commit order, whatever their type. */
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Change, defineWatchers, type SlotWatch } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { nameOn, settled, watchOn } from '../support/watching.ts';
import { workload } from '../support/workload.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const tables = ['plain', 'routed'] as const;
const columns = ['a', 'b', 'big', 'note'];

interface Delivered {
  readonly id: string;
  /** Undefined: a truncate, which affects the whole table. */
  readonly records: readonly string[] | undefined;
  readonly table: string;
}

function deliveredOf({ watcher, type, event, context }: Change): Delivered {
  const { table, eventId, previous } = context;
  const ids = type === 'truncated' ? undefined : [event.id, ...(type === 'updated' ? [previous['id']] : [])];
  return { id: `${eventId} ${watcher}`, table, records: ids?.map((id) => `${table} ${id}`) };
}

const concerns = (record: string) => (one: Delivered) =>
  one.records?.includes(record) ?? record.startsWith(`${one.table} `);

/** Some changes fail at their first attempt. */
const isUnlucky = ({ context: { eventId, attempt } }: Change) => attempt === 1 && /[37]$/.test(eventId);

/** How long its handler takes: some take much longer than others. */
const turnsOf = ({ context: { xid, ordinal } }: Change) => ((xid * 7 + ordinal * 13) % 5) ** 3;

/** Rows by id, as changes are applied to an empty copy. */
class Copy {
  readonly rows = new Map<string, Map<number, unknown>>(tables.map((table) => [table, new Map()]));

  apply({ type, event, context }: Change): void {
    const rows = this.rows.get(context.table)!;
    if (type === 'truncated') rows.clear();
    else if (type === 'deleted') rows.delete(event.id);
    else {
      if (type === 'updated') rows.delete(context.previous['id'] as number);
      rows.set(event.id, { ...event });
    }
  }
}

test(
  'per record the delivered order is the commit order, at any concurrency, in batches, and when handlers fail',
  { timeout: 120_000 },
  async () => {
    await db.sql(`
    create type state as enum ('new', 'done');
    create table plain (id int primary key, a int, b numeric(12, 2), big text, note state[]);
    create table routed (id int primary key, a int, b text, big bytea, note int4range);
    alter table plain replica identity full;
    alter table routed replica identity full`);
    const watchers = defineWatchers(
      tables.flatMap((table) => [
        ...(['inserted', 'updated', 'deleted'] as const).map(
          (type) => [table, type, { extraColumns: columns }] as const,
        ),
        [table, 'truncated'] as const,
        [table, 'updated', { label: `${table}_noted`, triggerColumns: ['note'] }] as const,
      ]) as any,
    );
    const watch: SlotWatch<any> = watchOf(watchers);
    const names = tables.flatMap((table) => [
      ...['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${table}:${type}`),
      `${table}_noted`,
    ]);
    const committed: Delivered[] = [];
    watch.subscribe(names as never, ((change: Change) => void committed.push(deliveredOf(change))) as never);

    const streams = [
    { concurrency: 1 }, { concurrency: 4 }, { concurrency: 64 },
    { batch: { size: 1 } }, { concurrency: 4, batch: { size: 7 } }, { concurrency: 16, batch: { size: 200, wait: 5 } },
  ].map((options) => {
    const delivered: Delivered[] = [];
    const running = new Set<Delivered>();
    const overlaps: string[] = [];
    watch.subscribe(names as never, (async (given: Change | readonly Change[]) => {
      const changes = [given].flat() as Change[];
      const called = changes.map(deliveredOf);
      for (const one of called)
        for (const other of running)
          if (one.records?.some((record) => concerns(record)(other)) ?? one.table === other.table) overlaps.push(`${one.id} overlaps ${other.id}`);
      for (const one of called) running.add(one);
      for (let turns = turnsOf(changes[0]!); turns > 0; turns--) await turn();
      for (const one of called) running.delete(one);
      if (changes.some(isUnlucky)) throw new Error('unlucky');
      delivered.push(...called);
    }) as never, options as never);
    return { options, delivered, overlaps };
  }); // prettier-ignore

    const copy = new Copy();
    watch.subscribe(names.filter((name) => !name.endsWith('noted')) as never, ((changes: readonly Change[]) => {
    for (const change of changes) copy.apply(change);
  }) as never, { concurrency: 4, batch: { size: 50, latest: true } } as never); // prettier-ignore

    await watch.start();
    const client = await db.client();
    const seed = Number(process.env['WALWATCH_SEED'] ?? Date.now() % 2 ** 31);
    await fc.assert(
      fc.asyncProperty(workload([...tables]), async (operations) => {
        for (const { statements } of operations) {
          for (const statement of statements) await client.query(statement).catch(() => client.query('rollback'));
          await client.query('commit');
        }
        await settled(db, watch);
        const records = new Set(committed.flatMap(({ records }) => records ?? []));
        for (const { options, delivered, overlaps } of streams) {
          expect({ ...options, overlaps }).toEqual({ ...options, overlaps: [] });
          expect(delivered.length).toBe(committed.length);
          for (const record of records)
          expect({ ...options, ids: delivered.filter(concerns(record)).map(({ id }) => id) }).toEqual({ ...options, ids: committed.filter(concerns(record)).map(({ id }) => id) }); // prettier-ignore
        }
        for (const table of tables) {
          const rows = await db.sql(`select id, ${columns.join()} from ${table} order by id`);
          const copied = [...copy.rows.get(table)!].toSorted(([one], [other]) => one - other).map(([, row]) => row);
          expect(copied).toEqual(rows);
        }
      }),
      { numRuns: 25, seed, endOnFailure: true },
    );
    expect(committed.length).toBeGreaterThan(100);
  },
);

/** A table of which an update matches two watchers. */
async function twoWatchers(table: string) {
  await db.sql(`create table ${table} (id int primary key, v text)`);
  await db.sql(`alter table ${table} replica identity full`);
  return defineWatchers([
    [table, 'updated', { extraColumns: ['v'] }],
    [table, 'updated', { label: 'changed', triggerColumns: ['v'] }],
  ]);
}

test('with transaction: true each of two watchers of a change is handled exactly once, also after a crash between them', async () => {
  const watchers = await twoWatchers('twice');
  await db.sql('create table effects (event_id text, watcher text); insert into twice values (1, null)');
  const slot = nameOn(db);
  let crashed = false;
  const run = (handle: (change: Change) => void) => {
    const watch: SlotWatch<any> = watchOf(watchers, { slot });
    watch.subscribe(['twice:updated', 'changed'] as never, (async (change: Change, { client }: any) => {
      handle(change);
      await client.query('insert into effects values ($1, $2)', [change.context.eventId, change.watcher]);
    }) as never, { name: 'effects', transaction: true } as never); // prettier-ignore
    return watch;
  };
  const first = run(({ watcher }) => {
    if (watcher !== 'changed') return;
    crashed = true;
    throw new Error('no further');
  });
  await first.start();
  await db.sql(`update twice set v = 'a'`);
  await until(() => crashed, { describe: () => 'the second watcher to be called' });
  await first.stop();
  expect(await db.sql('select watcher from effects')).toEqual([{ watcher: 'twice:updated' }]);

  const second = run(() => {});
  await second.start();
  await db.sql(`update twice set v = 'b'`);
  await settled(db, second);
  const effects = await db.sql('select watcher, count(*)::int as events, count(distinct event_id)::int as different from effects group by 1 order by 1'); // prettier-ignore
  expect(effects).toEqual([
    { watcher: 'changed', events: 2, different: 2 },
    { watcher: 'twice:updated', events: 2, different: 2 },
  ]);
});

test('two watchers of a change have a dead letter each, and a replay passes changes to the handler', async () => {
  const watchers = await twoWatchers('letters');
  await db.sql('insert into letters values (1, null)');
  const watch: SlotWatch<any> = watchOf(watchers);
  const replayed: unknown[] = [];
  let broken = true;
  watch.subscribe(['letters:updated', 'changed'] as never, (({ watcher, type, event }: Change) => {
    if (broken) throw new Error('broken');
    replayed.push([watcher, type, event]);
  }) as never, { name: 'search', onError: { attempts: 1, then: 'deadLetter' } } as never); // prettier-ignore
  await watch.start();
  await db.sql(`update letters set v = 'a'`);
  await settled(db, watch);
  broken = false;
  expect(await watch.deadLetters.replay({ subscription: 'search' })).toBe(2);
  expect(replayed.toSorted((one, other) => (String(one) < String(other) ? -1 : 1))).toEqual([
    ['changed', 'updated', { id: 1 }],
    ['letters:updated', 'updated', { id: 1, v: 'a' }],
  ]);
});

test('an iterator over a list yields its changes in commit order', async () => {
  await db.sql('create table listed (id int primary key)');
  const watch: SlotWatch<any> = watchOf(defineWatchers([['listed', 'inserted'], ['listed', 'deleted']])); // prettier-ignore
  const changes: AsyncIterableIterator<Change> = watch.events(['listed:inserted', 'listed:deleted'] as never);
  await watch.start();
  await db.sql('insert into listed values (1), (2)');
  await db.sql('delete from listed where id = 1');
  const yielded: unknown[] = [];
  for await (const { type, event } of changes) if (yielded.push([type, event.id]) === 3) break;
  expect(yielded).toEqual([
    ['inserted', 1],
    ['inserted', 2],
    ['deleted', 1],
  ]);
});
