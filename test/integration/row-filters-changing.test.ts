/** How the row filters of a publication are set and changed while the application writes. */
import { expect, inject, test } from 'vitest';
import { defineWatchers, type SlotWatch, type WatchOptions } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { problems, record, rowFilters } from '../support/row-filters.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const filters = test.skipIf(inject('server').version < 15);
const { newTable, filterOf, filterBecomes } = rowFilters(db);

filters(
  'with inserts alone a filter may use any column, and the application can update and delete, even while watchers change',
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

filters('a changed filter takes effect once the slot is taken over, and not before', async () => {
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

filters(
  "with 'verify' a different filter is an error with the SQL that sets it, if the role can compare them",
  async () => {
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
  },
);

filters('an identity that becomes too small for a filter causes a warning with the solution', async () => {
  const name = await newTable('full');
  const watch = watchOf(defineWatchers([[name, 'updated', { where: `state = 'a'` }]]));
  const { warnings } = record(watch);
  await watch.start();
  await db.sql(`insert into ${name} values (1)`);
  await db.sql(`alter table ${name} replica identity default`);
  const update = `update ${name} set n = 1`;
  await expect(db.sql(update)).rejects.toMatchObject({ code: '42P10' });
  await until(() => warnings.length > 0, { describe: 'the warning' });
  expect(warnings[0]).toMatchObject({ code: 'REPLICA_IDENTITY', message: expect.stringContaining('row filter') });
  await db.sql(warnings[0]!.solution!);
  await db.sql(update);
});
