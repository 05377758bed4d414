/** `where`: a publication's row filter. Which rows pass, and which filters are refused. */
import { expect, inject, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { problems, record, rowFilters } from '../support/row-filters.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const filters = test.skipIf(inject('server').version < 15);
const { newTable, filterBecomes } = rowFilters(db);

filters(
  'only matching rows are sent; a row that begins to match is inserted, one that stops to match is deleted',
  async () => {
    const name = await newTable('full');
    const where = `state = 'paid' and n > 0`;
    const watch = watchOf(
      defineWatchers([
        [name, 'inserted', { where, extraColumns: ['n'] }],
        [name, 'updated', { where, extraColumns: ['n'] }],
        [name, 'deleted', { where, extraColumns: ['n'] }],
        [name, 'truncated'],
      ]),
    );
    const { events } = record(
      watch,
      ...['inserted', 'updated', 'deleted', 'truncated'].map((type) => `${name}:${type}`),
    );
    await watch.start();
    await db.sql(`insert into ${name} values (1, 'paid', 1), (2, 'open', 2), (3, 'paid', null)`);
    await db.sql(`update ${name} set n = 5 where id = 1`); // matches before and after
    await db.sql(`update ${name} set n = 5 where id = 2`); // matches neither before nor after
    await db.sql(`update ${name} set state = 'paid' where id = 2`); // begins to match
    await db.sql(`update ${name} set state = 'open' where id = 1`); // stops matching
    await db.sql(`delete from ${name} where id = 1`);
    await db.sql(`delete from ${name} where id = 2`);
    await db.sql(`truncate ${name}`); // filters do not apply to it
    await settled(db, watch);
    expect(events).toEqual([
      ['inserted', { id: 1, n: 1 }],
      ['updated', { id: 1, n: 5 }],
      ['inserted', { id: 2, n: 5 }],
      ['deleted', { id: 1, n: 5 }],
      ['deleted', { id: 2, n: 5 }],
      ['truncated', {}],
    ]);
    expect(watch.details(`${name}:updated`).pushedDown).toEqual({ columns: undefined, where, reason: undefined });
  },
);

filters('a filter and a column list can be combined', async () => {
  const name = await newTable();
  const slot = slotName();
  const options = { slot, publication: { columnLists: true } };
  const watchersOf = (where: string, extraColumns: string[]) =>
    defineWatchers([[name, 'inserted', { where, extraColumns }]]);
  const first = watchOf(watchersOf(`state <> 'x'`, ['n']), options);
  await first.start();
  await first.stop();
  // Other columns are added before the slot is taken over, the filter stays until then.
  const second = watchOf(watchersOf(`state <> 'y'`, ['state']), options);
  const { events } = record(second, `${name}:inserted`);
  await second.start();
  await filterBecomes(slot, name, `(state <> 'y'::text)`);
  await db.sql(`insert into ${name} values (1, 'x', 1), (2, 'y', 1)`);
  await settled(db, second);
  expect(events).toEqual([['inserted', { id: 1, state: 'x' }]]);
  const [{ columns }] = (await db.sql(
    `select attnames::text[] as columns from pg_publication_tables where pubname = $1`,
    [slot],
  )) as [{ columns: string[] }];
  expect(columns).toEqual(['id', 'state']);
});

filters(
  'a filter over columns outside of the replica identity is refused while updates or deletes are published',
  async () => {
    const name = await newTable();
    const slot = slotName();
    const where = `state = 'paid'`;
    const [issue, ...more] = await problems(
      watchOf(
        defineWatchers([
          [name, 'inserted', { where }],
          ['users', 'updated'], // the published operations apply to all tables
        ]),
        { slot },
      ),
    );
    expect(more).toEqual([]);
    expect(issue).toMatchObject({ watcher: `${name}:inserted`, table: name });
    expect(issue!.message).toContain(`'state'`);
    expect(issue!.message).toContain(`'users:updated'`);
    expect(await db.sql('select from pg_publication where pubname = $1', [slot])).toEqual([]);

    // Both have the same solution.
    await db.sql(/^(ALTER TABLE [^;]*;)/.exec(issue!.solution!)![1]!);
    const watch = watchOf(defineWatchers([[name, 'inserted', { where }], ['users', 'updated']]), { slot }); // prettier-ignore
    await watch.start();
    await db.sql(`insert into ${name} values (1, 'paid')`);
    await db.sql(`update ${name} set state = 'open'`);
    await db.sql(`delete from ${name}`);
  },
);

filters(
  'a filter that PostgreSQL refuses is a ConfigurationError that names the watcher, all of them at once, and nothing is created',
  async () => {
    const slot = slotName();
    const wheres = {
      'no such column': 'statee = 1',
      'no SQL': 'state = = 1',
      'not immutable': 'n > random()',
      'no condition': 'n + 1',
      'of another type': `n = 'x'`,
      'a subquery': 'n in (select 1)',
      'more than one statement': '1 = 1); create table injected (); select (1',
      'a comment': '1 = 1 --',
    };
    const tables = await Promise.all(Object.keys(wheres).map(() => newTable()));
    const entries = Object.entries(wheres).map(
      ([label, where], index) => [tables[index]!, 'inserted', { label, where }] as const,
    );
    const watch = watchOf(defineWatchers(entries as any) as any, { slot });
    const issues = await problems(watch);
    expect(issues.map(({ watcher }) => watcher)).toEqual(Object.keys(wheres));
    for (const issue of issues) expect(issue.message).toContain('PostgreSQL refuses its where ');
    expect(issues[0]!.message).toContain('column "statee" does not exist');
    expect(
      await db.sql(`select from pg_publication where pubname = $1 or pubname like 'walwatch_check%'`, [slot]),
    ).toEqual([]);
    expect(await db.sql(`select from pg_class where relname = 'injected'`)).toEqual([]);
  },
);

filters('a publication for all tables or for a schema is refused, because it would send all rows', async () => {
  const name = await newTable();
  for (const kind of ['for all tables', 'for tables in schema public']) {
    const slot = slotName();
    await db.sql(`create publication "${slot}" ${kind}`);
    const issues = await problems(watchOf(defineWatchers([[name, 'inserted', { where: 'id > 1' }]]), { slot }));
    expect(issues.map(({ message }) => message)).toEqual([expect.stringContaining('PostgreSQL allows no row filters')]);
    await db.sql(`drop publication "${slot}"`);
  }
});

filters('partitions are filtered under their root, and one alone as a table', async () => {
  const root = 'filtered_root';
  await db.sql(`create table ${root} (id int primary key, state text) partition by range (id)`);
  await db.sql(`create table ${root}_low partition of ${root} for values from (0) to (10)`);
  await db.sql(`create table ${root}_high partition of ${root} for values from (10) to (20)`);
  const running = [];
  for (const table of [root, `${root}_low`]) {
    const watch = watchOf(defineWatchers([[table, 'inserted', { where: 'id % 2 = 0' }]]));
    running.push({ watch, events: record(watch, `${table}:inserted`).events });
    await watch.start();
  }
  await db.sql(`insert into ${root} values (1), (2), (11), (12)`);
  for (const { watch } of running) await settled(db, watch);
  expect(running.map(({ events }) => events)).toEqual([
    [['inserted', { id: 2 }], ['inserted', { id: 12 }]],
    [['inserted', { id: 2 }]],
  ]); // prettier-ignore
});

filters('a temporary slot filters from the start', async () => {
  const name = await newTable();
  const watch = watchOf(defineWatchers([[name, 'inserted', { where: 'id > 1' }]]), { slot: { temporary: true } });
  const { events } = record(watch, `${name}:inserted`);
  await watch.start();
  await db.sql(`insert into ${name} values (1), (2)`);
  await until(() => events.length > 0, { describe: 'the event' });
  expect(events).toEqual([['inserted', { id: 2 }]]);
});

test('before PostgreSQL 15 where is refused', async ({ skip }) => {
  if (inject('server').version >= 15) skip('the server has it');
  const [issue] = await problems(watchOf(defineWatchers([['users', 'inserted', { where: 'id > 1' }]])));
  expect(issue!.message).toContain('users:inserted: where needs PostgreSQL 15');
});
