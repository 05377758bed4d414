/** How the column lists of a publication change with watchers, tables and deploys. */
import { expect, inject, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError, type WatchOptions } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { columnListsOf, record } from '../support/column-lists.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const lists = test.skipIf(inject('server').version < 15);
const columnLists = { columnLists: true };
const { newTable, listOf, listBecomes } = columnListsOf(db);

lists('dropping a watched column under a list, as documented, ends the watch with an error', async () => {
  const name = await newTable();
  const watch = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]), { publication: columnLists });
  const { slot } = watch.status();
  const { events, warnings } = record(watch, `${name}:inserted`);
  await watch.start();
  await db.sql(`insert into ${name} values (1, 'x', 10)`);
  await settled(db, watch);
  // PostgreSQL does not drop a listed column until the list is removed: the recipe of the documentation.
  await expect(db.sql(`alter table ${name} drop b`)).rejects.toMatchObject({ code: '2BP01' });
  const client = await db.client();
  for (const statement of [
    'begin',
    `alter publication "${slot}" drop table only ${name}`,
    `alter publication "${slot}" add table only ${name}`,
    `insert into ${name} values (2, 'x', 20)`,
    `alter table ${name} drop b`,
    `insert into ${name} values (3, 'x')`,
    'commit',
  ])
    await client.query(statement);
  await expect(watch.closed).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' });
  expect(events).toEqual([
    ['inserted', { id: 1, b: 10 }, {}],
    ['inserted', { id: 2, b: 20 }, {}],
  ]);
  // An inspection may have seen it first.
  expect(warnings.filter(({ code }) => code !== 'SCHEMA_CHANGED')).toEqual([]);
});

lists(
  'in a rolling deploy no change is missed, the old worker keeps its columns, and the new one gets its own',
  async () => {
    const name = await newTable();
    const slot = slotName();
    const watchersOf = (extraColumns: string[]) =>
      defineWatchers([[name, 'updated', { extraColumns, absent: 'omit' }]]);
    const worker = (extraColumns: string[], options: Partial<WatchOptions> = {}) => {
      const watch = watchOf(watchersOf(extraColumns), { slot, publication: columnLists, ...options });
      return { watch, ...record(watch, `${name}:updated`) };
    };
    await db.sql(`insert into ${name} values (0, 'a', 0, 'c')`);
    const first = worker(['a', 'b']);
    await first.watch.start();
    expect(await listOf(slot, name)).toEqual(['id', 'a', 'b']);

    // The application writes all the time.
    const writer = await db.client();
    let writing = true;
    let written = 0;
    const writerDone = (async () => {
      while (writing) await writer.query(`update ${name} set b = $1, a = $2, c = $2`, [++written, String(written)]);
    })();
    const handOver = async (from: { watch: SlotWatch<any> }, to: ReturnType<typeof worker>) => {
      const standby = new Promise((resolve) => to.watch.on('standby', resolve));
      const started = to.watch.start();
      await standby;
      const before = written;
      await until(() => written > before + 50, { describe: 'more to be written' });
      return async () => {
        await from.watch.stop();
        await started;
      };
    };

    const second = worker(['b', 'c']); // one column more and one less
    const take = await handOver(first, second);
    expect(await listOf(slot, name)).toEqual(['id', 'a', 'b', 'c']);
    await take();
    await listBecomes(slot, name, ['id', 'b', 'c']);
    const third = worker(['b'], { publication: slot }); // lists turned off
    const takeAgain = await handOver(second, third);
    expect(await listOf(slot, name)).toBeUndefined();
    await takeAgain();
    const fourth = worker(['b']); // and on again
    await (
      await handOver(third, fourth)
    )();
    await listBecomes(slot, name, ['id', 'b']);
    const before = written;
    await until(() => written > before + 50, { describe: 'more to be written' });
    writing = false;
    await writerDone;
    await settled(db, fourth.watch);

    const numbers = (one: { events: any[] }): number[] => one.events.map(([, event]) => event.b);
    // At least once: events that the old worker could not acknowledge are delivered again.
    const all = new Set([first, second, third, fourth].flatMap(numbers));
    expect([...all]).toEqual(Array.from({ length: written }, (_, index) => index + 1));
    for (const [, event] of first.events as any[]) expect(event).toEqual({ id: 0, a: String(event.b), b: event.b });
    for (const [, event] of second.events as any[]) {
      // All of it was written after the second worker had widened the list, except for changes that were on their way.
      expect(event).toEqual({ id: 0, b: event.b, ...('c' in event && { c: String(event.b) }) });
    }
    expect((second.events as any[]).filter(([, event]) => 'c' in event).length).toBeGreaterThan(0);
    for (const { warnings } of [first, second, third, fourth]) {
      expect(warnings.filter(({ code }) => code !== 'SLOT_ACTIVE')).toEqual([]);
    }
  },
);

lists('a column that was not in the list when a change was written is absent, and never null', async () => {
  const name = await newTable();
  const slot = slotName();
  const first = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]), {
    slot,
    publication: columnLists,
  });
  await first.start();
  await first.stop();
  await db.sql(`insert into ${name} values (1, 'old', 1)`);
  const second = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['a', 'b'] }]]), {
    slot,
    publication: columnLists,
  });
  const { events } = record(second, `${name}:inserted`);
  await second.start();
  await db.sql(`insert into ${name} values (2, 'new', 2)`);
  await settled(db, second);
  expect(events).toEqual([
    ['inserted', { id: 1, b: 1 }, {}, ['a']],
    ['inserted', { id: 2, a: 'new', b: 2 }, {}],
  ]);
});

lists("with 'verify' the error contains the SQL, and a publication with more columns is accepted", async () => {
  const name = await newTable();
  const slot = slotName();
  const verified = (extraColumns: string[], publication: WatchOptions['publication']) =>
    watchOf(defineWatchers([[name, 'inserted', { extraColumns }]]), {
      slot,
      manage: 'verify',
      publication: publication!,
    });
  const error = (await verified(['a'], columnLists)
    .start()
    .catch((thrown: unknown) => thrown)) as WatchError & {
    issues: { solution: string }[];
  };
  expect(error.issues.map(({ solution }) => solution)[0]).toContain(`ONLY "public"."${name}" ("id", "a")`);
  for (const { solution } of error.issues) await db.sql(/: (.*);$/.exec(solution)![1]!);

  const run = async (extraColumns: string[], publication: WatchOptions['publication']) => {
    const watch = verified(extraColumns, publication);
    await watch.start();
    await watch.stop();
  };
  await run(['a'], columnLists);
  await run([], columnLists); // a list with more than the needed columns
  await run([], slot); // lists are not requested, but this one has all needed columns
  const wanting = (await verified(['b'], columnLists)
    .start()
    .catch((thrown: unknown) => thrown)) as WatchError;
  expect(wanting).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining('does not carry') });
  const sql = /Run: (.*)$/.exec(wanting.solution!)![1]!;
  expect(sql).toMatch(/^BEGIN; .* COMMIT;$/);
  await db.sql(sql);
  expect(await listOf(slot, name)).toEqual(['id', 'a', 'b']);
  await run(['b'], columnLists);
  await db.sql(`alter publication "${slot}" set table ${name}`);
  await run(['b'], columnLists);
});

lists('a publication that another slot reads too is never narrowed', async () => {
  const name = await newTable();
  const publication = slotName();
  const watchersOf = (column: string) => defineWatchers([[name, 'inserted', { extraColumns: [column] }]]);
  const one = watchOf(watchersOf('a'), { publication: { name: publication, columnLists: true } });
  const other = watchOf(watchersOf('b'), { publication: { name: publication, columnLists: true } });
  try {
    await one.start();
    await other.start();
    const heard = [record(one, `${name}:inserted`), record(other, `${name}:inserted`)];
    expect(await listOf(publication, name)).toEqual(['id', 'a', 'b']);
    await one.stop();
    const again = watchOf(watchersOf('a'), {
      slot: one.status().slot,
      publication: { name: publication, columnLists: true },
    });
    heard[0] = record(again, `${name}:inserted`);
    await again.start();
    await db.sql(`insert into ${name} values (1, 'x', 10)`);
    await settled(db, again);
    await settled(db, other);
    expect(heard.map(({ events }) => events)).toEqual([
      [['inserted', { id: 1, a: 'x' }, {}]],
      [['inserted', { id: 1, b: 10 }, {}]],
    ]);
    expect(await listOf(publication, name)).toEqual(['id', 'a', 'b']);
  } finally {
    await Promise.all([one.stop(), other.stop()]);
    await db.sql(`drop publication "${publication}"`);
  }
});

lists(
  'an identity that becomes FULL under a list is a warning with a solution, and the next start removes the list',
  async () => {
    const name = await newTable();
    const slot = slotName();
    const watchers = defineWatchers([[name, 'updated']]);
    const watch = watchOf(watchers, { slot, publication: columnLists });
    const { warnings } = record(watch);
    await watch.start();
    await db.sql(`insert into ${name} values (1)`);
    await db.sql(`alter table ${name} replica identity full`);
    const update = `update ${name} set a = 'x'`;
    await expect(db.sql(update)).rejects.toMatchObject({ code: '42P10' });
    await until(() => warnings.length > 0, { describe: 'the warning' });
    expect(warnings[0]).toMatchObject({ code: 'REPLICA_IDENTITY', message: expect.stringContaining('column list') });
    await db.sql(warnings[0]!.solution!);
    await db.sql(update);
    await watch.stop();

    await db.sql(`alter table ${name} replica identity default`);
    const listed = watchOf(watchers, { slot, publication: columnLists });
    await listed.start();
    await listBecomes(slot, name, ['id']);
    await listed.stop();
    await db.sql(`alter table ${name} replica identity full`);
    await expect(db.sql(update)).rejects.toMatchObject({ code: '42P10' });
    await watchOf(watchers, { slot, publication: columnLists }).start();
    await db.sql(update);
  },
);
