/** `publication: { columnLists: true }`: the server sends only the needed columns, and the application sees no difference. */
import { expect, inject, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchError, type WatchOptions } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const lists = test.skipIf(inject('server').version < 15);
const columnLists = { columnLists: true };
let number = 0;

async function newTable(columns = 'a text, b int, c text, spare text'): Promise<string> {
  const name = `listed_${++number}`;
  await db.sql(`create table ${name} (id int primary key, ${columns})`);
  return name;
}

/** Undefined: all columns. */
async function listOf(publication: string, table: string): Promise<string[] | undefined | 'not there'> {
  const [row] = await db.sql(
    `select (select json_agg(attname order by attnum) from pg_attribute
             where attrelid = prrelid and attnum = any(prattrs::int2[])) as columns
     from pg_publication_rel join pg_publication p on p.oid = prpubid where pubname = $1 and prrelid = $2::regclass`,
    [publication, table],
  );
  return row ? (row['columns'] ?? undefined) : 'not there';
}

const listBecomes = (publication: string, table: string, columns: string[] | undefined) =>
  until(async () => String(await listOf(publication, table)) === String(columns), {
    describe: `the column list of ${table} to be ${String(columns)}`,
  });

function record(watch: SlotWatch<any>, ...watchers: string[]) {
  const events: unknown[] = [];
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  const handler: any = (event: object, { type, previous, absent }: any) =>
    void events.push([type, event, previous, ...(absent.length > 0 ? [absent] : [])]);
  for (const watcher of watchers) watch.subscribe(watcher, handler);
  return { events, warnings };
}

lists('a list holds the columns of all watchers and the replica identity, and details() tells it', async () => {
  const name = await newTable();
  await db.sql(`alter table ${name} alter c set not null, add unique (c)`);
  await db.sql(`alter table ${name} replica identity using index ${name}_c_key`);
  const watch = watchOf(
    defineWatchers([
      [name, 'inserted', { extraColumns: ['a'] }],
      [name, 'updated', { label: `${name}_b`, triggerColumns: ['c'] }],
    ]),
    { publication: columnLists },
  );
  await watch.start();
  expect(await listOf(watch.status().slot, name)).toEqual(['id', 'a', 'c']);
  expect(watch.details(`${name}:inserted`)).toMatchObject({
    columns: ['id', 'a', 'b', 'c', 'spare'],
    pushedDown: { columns: ['id', 'a', 'c'], where: undefined, reason: undefined },
  });
  const without = watchOf(defineWatchers([[name, 'inserted']]));
  await without.start();
  expect(await listOf(without.status().slot, name)).toBeUndefined();
  expect(without.details(`${name}:inserted`)).not.toHaveProperty('pushedDown');
});

lists('events are the same with and without lists', async () => {
  const name = await newTable();
  await db.sql(`alter table ${name} alter a set storage external`);
  const watchers = defineWatchers([
    [name, 'inserted', { extraColumns: ['b', 'a'] }],
    [name, 'updated', { extraColumns: ['b', 'a'], absent: 'omit' }],
    [name, 'deleted'],
    [name, 'truncated'],
  ]);
  const names = ['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${name}:${type}`);
  const watches = [watchOf(watchers), watchOf(watchers, { publication: columnLists })];
  const heard = watches.map((watch) => record(watch, ...names).events);
  await Promise.all(watches.map((watch) => watch.start()));
  const statements = [
    `insert into ${name} select i, repeat('x', 9000), i, null, 'spare' from generate_series(1, 20) i`,
    `update ${name} set b = -b where id < 10`,
    `update ${name} set spare = 'y', c = 'z'`,
    `update ${name} set id = id + 100, a = null where id > 15`,
    `delete from ${name} where id in (1, 101, 117)`,
    `truncate ${name}`,
    `insert into ${name} values (1)`,
  ];
  for (const statement of statements) await db.sql(statement);
  for (const watch of watches) await settled(db, watch);
  expect(heard[0]!.length).toBeGreaterThan(50);
  expect(heard[1]).toEqual(heard[0]);
});

lists('a watched column that goes is noticed under a list, after the recipe of the documentation', async () => {
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

lists('a column that the list did not hold when a change was written is absent, and never null', async () => {
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

lists(
  'a table with REPLICA IDENTITY FULL gets no list and details() shows it, as for a partition; writes of the application succeed',
  async () => {
    const full = await newTable();
    await db.sql(`alter table ${full} replica identity full`);
    const root = `${full}_root`;
    await db.sql(`create table ${root} (id int primary key, a text, b int) partition by range (id)`);
    await db.sql(`create table ${root}_low partition of ${root} for values from (0) to (10)`);
    await db.sql(`create table ${root}_high partition of ${root} for values from (10) to (20)`);
    await db.sql(`alter table ${root}_high replica identity full`);
    const plain = await newTable();
    const entries = [full, root, plain].map((table) => [table, 'updated'] as const);
    const watch = watchOf(defineWatchers(entries), { publication: columnLists });
    const { slot } = watch.status();
    const { events } = record(watch, `${full}:updated`, `${root}:updated`, `${plain}:updated`);
    await watch.start();
    expect([await listOf(slot, full), await listOf(slot, root), await listOf(slot, plain)]).toEqual([
      undefined,
      undefined,
      ['id'],
    ]);
    const reason = (table: string) => (watch.details(`${table}:updated`) as any).pushedDown.reason;
    expect(reason(full)).toContain(`"public"."${full}" has REPLICA IDENTITY FULL`);
    expect(reason(root)).toContain(`"public"."${root}_high" has REPLICA IDENTITY FULL`);
    expect(reason(plain)).toBeUndefined();
    for (const table of [full, root, plain]) {
      await db.sql(`insert into ${table} (id, a) values (1, 'x'), (11, 'x')`);
      await db.sql(`update ${table} set a = 'y'`);
      await db.sql(`delete from ${table}`);
    }
    await settled(db, watch);
    expect(events).toHaveLength(6);
  },
);

lists('partitions of one identity get the list of their root', async () => {
  const root = `listed_root_${++number}`;
  await db.sql(`create table ${root} (id int primary key, a text, b int) partition by range (id)`);
  await db.sql(`create table ${root}_low (b int, spare int, a text, id int not null)`); // other order of columns
  await db.sql(`alter table ${root}_low drop spare`);
  await db.sql(`alter table ${root} attach partition ${root}_low for values from (0) to (10)`);
  await db.sql(`create table ${root}_high partition of ${root} for values from (10) to (20)`);
  const watch = watchOf(defineWatchers([[root, 'updated', { extraColumns: ['b'] }]]), { publication: columnLists });
  const { events, warnings } = record(watch, `${root}:updated`);
  await watch.start();
  expect(await listOf(watch.status().slot, root)).toEqual(['id', 'b']);
  await db.sql(`insert into ${root} values (1, 'x', 10), (11, 'x', 110)`);
  await db.sql(`update ${root} set b = b + 1`);
  await settled(db, watch);
  expect(events).toEqual([
    ['updated', { id: 1, b: 11 }, { id: 1 }],
    ['updated', { id: 11, b: 111 }, { id: 11 }],
  ]);
  expect(warnings).toEqual([]);
});

lists('a publication for all tables or for a schema has no lists, and details() shows it', async () => {
  const name = await newTable();
  const slots = [slotName(), slotName()];
  await db.sql(`create publication "${slots[0]}" for all tables`);
  await db.sql(`create publication "${slots[1]}" for tables in schema public`);
  for (const slot of slots) {
    const watch = watchOf(defineWatchers([[name, 'inserted']]), { slot, publication: columnLists });
    await watch.start();
    expect(watch.details(`${name}:inserted`).pushedDown).toEqual({
      columns: undefined,
      where: undefined,
      reason: expect.stringContaining('for all tables or for schemas'),
    });
    await watch.stop();
  }
});

lists("with 'verify' the error holds the SQL, and a publication that carries more is fine", async () => {
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

lists('a publication that another slot reads as well is never narrowed', async () => {
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

lists('a temporary slot has a list too', async () => {
  const name = await newTable();
  const watch = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]), {
    slot: { temporary: true },
    publication: columnLists,
  });
  const { events } = record(watch, `${name}:inserted`);
  await watch.start();
  expect(await listOf(watch.status().publication, name)).toEqual(['id', 'b']);
  await db.sql(`insert into ${name} values (1, 'x', 10)`);
  await until(() => events.length > 0, { describe: 'the event' });
  expect(events).toEqual([['inserted', { id: 1, b: 10 }, {}]]);
});

lists(
  'an identity that becomes FULL under a list is a warning with a solution, and the next start removes the list',
  { timeout: 40_000 },
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
    await until(() => warnings.length > 0, { describe: 'the warning', timeout: 20_000 });
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

test('before PostgreSQL 15 columnLists is refused', async ({ skip }) => {
  if (inject('server').version >= 15) skip('the server has it');
  const watch = watchOf(defineWatchers([['users', 'inserted']]), { publication: columnLists });
  await expect(watch.start()).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringContaining('publication.columnLists needs PostgreSQL 15'),
  });
});
