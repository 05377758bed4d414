/** `where`: a publication's row filter. Which rows pass, how it is set and changed, and that the application can write. */
import { expect, inject, test } from 'vitest';
import {
  type ConfigurationError,
  defineWatchers,
  type SlotWatch,
  type WatchError,
  type WatchOptions,
} from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const filters = test.skipIf(inject('server').version < 15);
let number = 0;

async function newTable(identity = 'default'): Promise<string> {
  const name = `filtered_${++number}`;
  await db.sql(`create table ${name} (id int primary key, state text, n int)`);
  await db.sql(`alter table ${name} replica identity ${identity}`);
  return name;
}

/** As PostgreSQL writes it; undefined: none. */
async function filterOf(publication: string, table: string): Promise<string | undefined> {
  const [row] = await db.sql(
    `select pg_get_expr(prqual, prrelid) as filter from pg_publication_rel join pg_publication p on p.oid = prpubid
     where pubname = $1 and prrelid = $2::regclass`,
    [publication, table],
  );
  return row?.['filter'] ?? undefined;
}

const filterBecomes = (publication: string, table: string, filter: string | undefined) =>
  until(async () => (await filterOf(publication, table)) === filter, {
    describe: `the filter of ${table} to be ${String(filter)}`,
  });

function record(watch: SlotWatch<any>, ...watchers: string[]) {
  const events: unknown[] = [];
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  const handler: any = (event: object, { type }: { type: string }) => void events.push([type, event]);
  for (const watcher of watchers) watch.subscribe(watcher, handler);
  return { events, warnings };
}

/** The problems that make start() fail. */
const problems = async (watch: SlotWatch<any>): Promise<ConfigurationError['issues']> => {
  const error = await watch.start().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'CONFIGURATION' });
  return (error as ConfigurationError).issues;
};

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

filters('a filter and a column list go together', async () => {
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
  'with inserts alone any column will do, and the application can update and delete, also while watchers change',
  async () => {
    const name = await newTable();
    const slot = slotName();
    const where = `state = 'paid'`;
    const write = async () => {
      await db.sql(`insert into ${name} values (1, 'paid'), (2, 'open')`);
      await db.sql(`update ${name} set n = 1`);
      await db.sql(`update ${name} set state = 'paid' where id = 2`); // begins to match, but updates are not published
      await db.sql(`delete from ${name}`);
    };
    const run = async (watchers: ReturnType<typeof defineWatchers>, expected: unknown[], subscribed: string[]) => {
      const watch = watchOf(watchers as any, { slot });
      const { events } = record(watch, ...subscribed);
      await watch.start();
      await write(); // until it is narrowed
      await until(
        async () => {
          const [row] = await db.sql('select pubupdate from pg_publication where pubname = $1', [slot]);
          return row!['pubupdate'] === subscribed.some((one) => one.endsWith('updated'));
        },
        { describe: 'exactly the watched tables to be published' },
      );
      await settled(db, watch);
      events.length = 0;
      await write();
      await settled(db, watch);
      expect(events).toEqual(expected);
      await watch.stop();
    };
    const inserted = `${name}:inserted`;
    const filtered = () => defineWatchers([[name, 'inserted', { where }]]) as any;
    await run(filtered(), [['inserted', { id: 1 }]], [inserted]);
    // Updates are published: the filter has to be removed before that.
    const updated = defineWatchers([[name, 'inserted'], [name, 'updated']]) as any; // prettier-ignore
    const all = [['inserted', { id: 1 }], ['inserted', { id: 2 }], ['updated', { id: 1 }], ['updated', { id: 2 }], ['updated', { id: 2 }]]; // prettier-ignore
    await run(updated, all, [inserted, `${name}:updated`]);
    // And can be set only once they are not published.
    await run(filtered(), [['inserted', { id: 1 }]], [inserted]);
    // The same for a table without a watcher now.
    await run(defineWatchers([['users', 'updated']]) as any, [], ['users:updated']);
    // And for a new one.
    await run(filtered(), [['inserted', { id: 1 }]], [inserted]);
  },
);

filters('a changed filter is in force once the slot is taken over, and not before', async () => {
  const name = await newTable();
  const slot = slotName();
  const watchersOf = (where?: string) => defineWatchers([[name, 'inserted', where === undefined ? {} : { where }]]);
  const first = watchOf(watchersOf('id % 2 = 0'), { slot });
  const old = record(first, `${name}:inserted`);
  await first.start();
  const second = watchOf(watchersOf('id > 10'), { slot });
  const standby = new Promise((resolve) => second.on('standby', resolve));
  const next = record(second, `${name}:inserted`);
  const started = second.start();
  await standby;
  await db.sql(`insert into ${name} values (1), (2), (11), (12)`);
  await settled(db, first);
  expect(old.events).toEqual([['inserted', { id: 2 }], ['inserted', { id: 12 }]]); // prettier-ignore
  await first.stop();
  await started;
  await filterBecomes(slot, name, '(id > 10)');
  await db.sql(`insert into ${name} values (3), (4), (13), (14)`);
  await settled(db, second);
  expect(next.events).toEqual([['inserted', { id: 13 }], ['inserted', { id: 14 }]]); // prettier-ignore
  await second.stop();

  const third = watchOf(watchersOf(), { slot });
  const all = record(third, `${name}:inserted`);
  await third.start();
  await filterBecomes(slot, name, undefined);
  await db.sql(`insert into ${name} values (5)`);
  await settled(db, third);
  expect(all.events).toEqual([['inserted', { id: 5 }]]);
});

filters('the same filter, however it is written, changes nothing', async () => {
  const name = await newTable();
  const slot = slotName();
  const entryOf = async (table: string) => {
    const [row] = await db.sql(
      `select r.oid from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
       where pubname = $1 and prrelid = $2::regclass`,
      [slot, table],
    );
    return row?.['oid'];
  };
  const own = [name, 'inserted', { where: `state = 'a' or state = 'b'` }] as const;
  const first = watchOf(defineWatchers([own, ['users', 'inserted']]), { slot });
  await first.start();
  await first.stop();
  const made = await entryOf(name);
  expect(made).toBeDefined();
  const where = `((state)='a'::text)OR state='b'`;
  const second = watchOf(defineWatchers([[name, 'inserted', { where }]]), { slot });
  await second.start();
  await until(async () => (await entryOf('users')) === undefined, { describe: 'the publication to be narrowed' });
  expect(await entryOf(name)).toBe(made);
});

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
    for (const issue of issues) expect(issue.message).toContain('PostgreSQL refuses its where: ');
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
    expect(issues.map(({ message }) => message)).toEqual([expect.stringContaining('PostgreSQL has no row filters')]);
    await db.sql(`drop publication "${slot}"`);
  }
});

filters(
  'a publication that another slot reads too keeps its filters, and a worker that needs others is refused',
  async () => {
    const name = await newTable();
    const publication = slotName();
    const watchersOf = (where?: string) => defineWatchers([[name, 'inserted', where === undefined ? {} : { where }]]);
    const one = watchOf(watchersOf('id > 10'), { publication });
    try {
      await one.start();
      for (const where of [undefined, 'id > 20']) {
        const [issue] = await problems(watchOf(watchersOf(where), { publication }));
        expect(issue!.message).toContain(`shared with the slot '${one.status().slot}'`);
      }
      const same = watchOf(watchersOf('id > 10'), { publication });
      await same.start();
      await same.stop();
    } finally {
      await one.stop();
      await db.sql(`drop publication "${publication}"`);
    }
  },
);

filters('partitions are filtered under their root, and one alone as a table', async () => {
  const root = `filtered_root_${++number}`;
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

filters("with 'verify' another filter is an error that holds the SQL, as far as the role can find out", async () => {
  const name = await newTable();
  const slot = slotName();
  const verified = (where: string | undefined, options: Partial<WatchOptions> = {}) =>
    watchOf(defineWatchers([[name, 'inserted', where === undefined ? {} : { where }]]), {
      slot,
      manage: 'verify',
      ...options,
    } as any);
  const start = async (watch: SlotWatch<any>) => {
    const { warnings } = record(watch);
    await watch.start();
    await watch.stop();
    return warnings;
  };
  const issues = await problems(verified(`state = 'a'`));
  for (const { solution } of issues) await db.sql(/: (.*);$/.exec(solution!)![1]!);
  expect(await filterOf(slot, name)).toBe(`(state = 'a'::text)`);
  expect(await start(verified(`state = 'a'`))).toEqual([]);
  for (const [where, filter] of [
    [`state = 'b'`, `(state = 'b'::text)`],
    [undefined, undefined],
  ] as const) {
    const [issue] = await problems(verified(where));
    await db.sql(/Run: (.*)$/.exec(issue!.solution!)![1]!);
    expect(await filterOf(slot, name)).toBe(filter);
  }

  // A role that may only replicate.
  const role = slot;
  await db.sql(`create role "${role}" login replication password 'secret'`);
  try {
    await db.sql(`grant select on ${name} to "${role}"`);
    await db.sql(`grant execute on function pg_control_system() to "${role}"`);
    const url = new URL(db.url);
    Object.assign(url, { username: role, password: 'secret' });
    const as = { connection: url.href };
    const [missing] = await problems(verified(`n = 1`, as));
    expect(missing!.solution).toContain(`ADD TABLE ONLY "public"."${name}" WHERE (n = 1)`);
    await db.sql(/Run: (.*)$/.exec(missing!.solution!)![1]!);
    expect(await start(verified(`N=1`, as))).toEqual([]);
    expect(await start(verified(`n < 2`, as))).toMatchObject([
      { code: 'CONFIGURATION', message: expect.stringContaining('could not be compared') },
    ]);
  } finally {
    await db.sql(`drop owned by "${role}"`);
    await db.sql(`drop role "${role}"`);
  }
});

filters(
  'an identity that becomes too small for a filter causes a warning with the solution',
  { timeout: 40_000 },
  async () => {
    const name = await newTable('full');
    const watch = watchOf(defineWatchers([[name, 'updated', { where: `state = 'a'` }]]));
    const { warnings } = record(watch);
    await watch.start();
    await db.sql(`insert into ${name} values (1)`);
    await db.sql(`alter table ${name} replica identity default`);
    const update = `update ${name} set n = 1`;
    await expect(db.sql(update)).rejects.toMatchObject({ code: '42P10' });
    await until(() => warnings.length > 0, { describe: 'the warning', timeout: 20_000 });
    expect(warnings[0]).toMatchObject({ code: 'REPLICA_IDENTITY', message: expect.stringContaining('row filter') });
    await db.sql(warnings[0]!.solution!);
    await db.sql(update);
  },
);

test('before PostgreSQL 15 where is refused', async ({ skip }) => {
  if (inject('server').version >= 15) skip('the server has it');
  const [issue] = await problems(watchOf(defineWatchers([['users', 'inserted', { where: 'id > 1' }]])));
  expect(issue!.message).toContain('users:inserted: where needs PostgreSQL 15');
});
