/** The schema changes while its changes stream: no wrong value is delivered, and every loss is reported. */
import { Client } from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { defineWatchers, type SlotWatch, table, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { nameOn, settled, slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
let number = 0;

async function newTable(): Promise<string> {
  const name = `changing_${++number}`;
  await db.sql(`create table ${name} (id int primary key, a text, b int, spare int)`);
  return name;
}

function record(watch: SlotWatch<any>, ...watchers: string[]) {
  const events: unknown[] = [];
  const warnings: WatchError[] = [];
  watch.on('warning', (warning) => warnings.push(warning));
  const handler: any = (event: object, { absent }: { absent: unknown[] }) =>
    void events.push(absent.length > 0 ? [event, absent] : event);
  for (const watcher of watchers) watch.subscribe(watcher, handler);
  return { events, warnings };
}

test('columns without a watcher are added and dropped, several times in one transaction; a warning names the dropped ones', async () => {
  const name = await newTable();
  const watch = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]));
  const { events, warnings } = record(watch, `${name}:inserted`);
  await watch.start();
  const client = await db.client();
  await client.query(`insert into ${name} values (1, 'x', 10, 0)`);
  await client.query('begin');
  await client.query(`alter table ${name} add extra text default 'd'`);
  await client.query(`insert into ${name} values (2, 'x', 20, 0, 'e')`);
  await client.query(`alter table ${name} drop a`);
  await client.query(`insert into ${name} values (3, 30, 0, 'f')`);
  await client.query(`alter table ${name} rename extra to other`);
  await client.query(`alter table ${name} drop spare`);
  await client.query(`insert into ${name} values (4, 40, 'g')`);
  await client.query('commit');
  await settled(db, watch);
  expect(events).toEqual([1, 2, 3, 4].map((id) => ({ id, b: id * 10 })));
  const messages = warnings.filter(({ code }) => code === 'SCHEMA_CHANGED').map(({ message }) => message);
  expect(messages).toEqual(
    expect.arrayContaining([expect.stringContaining("'a'"), expect.stringContaining("'spare'")]),
  );
});

test.for([
  ['is dropped', 'alter table $ drop b'],
  ['is renamed', 'alter table $ rename b to c'],
] as const)(
  'when a watched column %s, earlier changes are delivered and then the watch ends with SCHEMA_CHANGED',
  async ([, change]) => {
    const name = await newTable();
    const slot = slotName();
    const watch = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]), {
      slot,
      visibility: 'immediate',
    });
    const { events } = record(watch, `${name}:inserted`);
    await watch.start();
    const client = await db.client();
    await client.query('begin');
    await client.query(`insert into ${name} (id, b) values (1, 10)`);
    await client.query(change.replace('$', name));
    await client.query(`insert into ${name} (id) values (2)`);
    await client.query('commit');
    await expect(watch.closed).rejects.toMatchObject({
      code: 'SCHEMA_CHANGED',
      message: expect.stringContaining("'b'"),
    });
    expect(events).toEqual([{ id: 1, b: 10 }]);

    // Nothing of the transaction was acknowledged: corrected watchers get all of it.
    const next = watchOf(defineWatchers([[name, 'inserted']]), { slot });
    const after = record(next, `${name}:inserted`);
    await next.start();
    await settled(db, next);
    expect(after.events).toEqual([{ id: 1 }, { id: 2 }]);
  },
);

test('when the type of a watched column changes, values are of the old type before and of the new one after', async () => {
  const name = await newTable();
  const watch = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b', 'a'] }]]));
  const { events } = record(watch, `${name}:inserted`);
  const filtered: unknown[] = [];
  watch.subscribe(
    `${name}:inserted`,
    { a: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' },
    ({ id }) => void filtered.push(id),
  );
  await watch.start();
  const client = await db.client();
  await client.query('begin');
  await client.query(`insert into ${name} values (1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 10)`);
  await client.query(`alter table ${name} alter b type text using b::text`);
  await client.query(`alter table ${name} alter a type uuid using a::uuid`);
  await client.query(`insert into ${name} values (2, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'twenty')`);
  await client.query('commit');
  await settled(db, watch);
  expect(events).toMatchObject([{ id: 1, b: 10 }, { id: 2, b: 'twenty' }]); // prettier-ignore
  expect(filtered).toContain(2); // as a uuid, in any case
});

test.for([
  ['a renamed table', 'alter table $ rename to $_renamed', '$_renamed'],
  ['a renamed schema', 'alter table $ set schema moved', 'moved.$'],
] as const)(
  '%s ends the watch with SCHEMA_CHANGED, and watchers of the new name continue with the old WAL',
  async ([, change, renamed]) => {
    await db.sql('create schema if not exists moved');
    const name = await newTable();
    const slot = slotName();
    const watch = watchOf(defineWatchers([[name, 'inserted']]), { slot, visibility: 'immediate' });
    const { events } = record(watch, `${name}:inserted`);
    await watch.start();
    await db.sql(`insert into ${name} values (1)`);
    await settled(db, watch);
    const client = await db.client();
    await client.query('begin');
    await client.query(`insert into ${name} values (2)`);
    await client.query(change.replaceAll('$', name));
    await client.query(`insert into ${renamed.replace('$', name)} values (3)`);
    await client.query('commit');
    await expect(watch.closed).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' });
    expect(events).toEqual([{ id: 1 }, { id: 2 }]);
    const now = renamed.replace('$', name);
    const next = watchOf(defineWatchers([[now, 'inserted']]), { slot });
    const after = record(next, `${now}:inserted`);
    await next.start();
    await settled(db, next);
    expect(after.events).toEqual([{ id: 2 }, { id: 3 }]);
  },
);

test('another primary key ends a watch that takes the key from the table, but not one whose table() names a key that stays unique', async () => {
  const name = await newTable();
  await db.sql(`alter table ${name} alter b set not null, add unique (id)`);
  const bare = watchOf(defineWatchers([[name, 'inserted']]));
  const named = watchOf(defineWatchers([[table()({ tableName: name, primaryKey: 'id' }), 'inserted']]));
  const { events } = record(named, `${name}:inserted`);
  await Promise.all([bare.start(), named.start()]);
  await db.sql(`insert into ${name} values (1, 'x', 10)`);
  await db.sql(`alter table ${name} drop constraint ${name}_pkey, add primary key (b)`);
  await db.sql(`alter table ${name} alter id set not null`);
  await db.sql(`insert into ${name} values (2, 'x', 20)`);
  await expect(bare.closed).rejects.toMatchObject({
    code: 'SCHEMA_CHANGED',
    message: expect.stringContaining('primary key'),
  });
  await settled(db, named);
  expect(events).toEqual([{ id: 1 }, { id: 2 }]);
});

test('in changes from before a watched column was added, its value is absent, and never null', async () => {
  const name = await newTable();
  const slot = slotName();
  const first = watchOf(defineWatchers([[name, 'inserted']]), { slot });
  await first.start();
  await first.stop();
  await db.sql(`insert into ${name} values (1)`);
  await db.sql(`alter table ${name} add late text`);
  await db.sql(`insert into ${name} values (2, null, null, null, 'now')`);
  const second = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['late'] }]]), { slot });
  const { events } = record(second, `${name}:inserted`);
  await second.start();
  await settled(db, second);
  expect(events).toEqual([[{ id: 1 }, ['late']], { id: 2, late: 'now' }]); // prettier-ignore
});

describe('a watched column that is renamed and renamed back', () => {
  const away = (name: string) => `alter table ${name} rename b to c`;
  const back = (name: string) => `alter table ${name} rename c to b`;

  test.for([false, true])(
    'has its values in all changes in between, in any order; other columns dropped: %s',
    async (dropped) => {
      const name = await newTable();
      if (dropped) await db.sql(`alter table ${name} drop spare, add more int`);
      await db.sql(`alter table ${name} replica identity full`);
      const watch = watchOf(
        defineWatchers([
          [name, 'inserted', { extraColumns: ['b'] }],
          [name, 'updated', { label: `${name}_b`, triggerColumns: ['b'], extraColumns: ['b'] }],
          [name, 'deleted', { extraColumns: ['b'] }],
        ]),
      );
      const { events, warnings } = record(watch, `${name}:inserted`, `${name}_b`, `${name}:deleted`);
      const filtered: unknown[] = [];
      watch.subscribe(`${name}:inserted`, { b: 10 }, ({ id }) => void filtered.push(id));
      await watch.start();
      const client = await db.client();
      const steps = [
        `insert into ${name} (id, b) values (1, 10)`, away(name), `insert into ${name} (id, c) values (2, 20), (3, 10)`,
        `update ${name} set c = 21 where id = 2`, `update ${name} set a = 'x' where id = 2`, `delete from ${name} where id = 2`, back(name),
        `insert into ${name} (id, b) values (4, 40)`,
      ]; // prettier-ignore
      for (const step of ['begin', ...steps, 'commit']) await client.query(step);
      await settled(db, watch);
      const [one, two, three, four] = [
        { id: 1, b: 10 }, { id: 2, b: 20 }, { id: 3, b: 10 }, { id: 4, b: 40 },
      ]; // prettier-ignore
      expect(events).toEqual([one, two, three, { id: 2, b: 21 }, { id: 2, b: 21 }, four]);
      expect(filtered).toEqual([1, 3]);
      expect(warnings).toEqual([]);
    },
  );

  test('even across a restart, after the watch ended with SCHEMA_CHANGED', async () => {
    const name = await newTable();
    const slot = slotName();
    const watchers = defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]);
    const first = watchOf(watchers, { slot });
    await first.start();
    await db.sql(away(name));
    await db.sql(`insert into ${name} (id, c) values (1, 10)`);
    await expect(first.closed).rejects.toMatchObject({ code: 'SCHEMA_CHANGED' });
    await db.sql(back(name));
    await db.sql(`insert into ${name} (id, b) values (2, 20)`);
    const second = watchOf(watchers, { slot });
    const { events } = record(second, `${name}:inserted`);
    await second.start();
    await settled(db, second);
    expect(events).toEqual([1, 2].map((id) => ({ id, b: id * 10 })));
  });

  test('and watchers of its new name get the values that were written under the old one', async () => {
    const name = await newTable();
    const slot = slotName();
    const first = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]), { slot });
    await first.start();
    await first.stop();
    await db.sql(`insert into ${name} (id, b) values (1, 10)`);
    await db.sql(away(name));
    await db.sql(`insert into ${name} (id, c) values (2, 20)`);
    const second = watchOf(defineWatchers([[name, 'inserted', { extraColumns: ['c'] }]]), { slot });
    const { events } = record(second, `${name}:inserted`);
    await second.start();
    await settled(db, second);
    expect(events).toEqual([1, 2].map((id) => ({ id, c: id * 10 })));
  });

  test('if its place cannot be known, the value is absent, with a warning', async () => {
    const name = await newTable();
    const slot = slotName();
    await db.sql(`alter table ${name} drop a`); // before it
    const watchers = defineWatchers([[name, 'inserted', { extraColumns: ['b'] }]]);
    const first = watchOf(watchers, { slot });
    await first.start();
    await first.stop();
    await db.sql(away(name));
    await db.sql(`insert into ${name} (id, c) values (1, 10)`);
    await db.sql(back(name));
    await db.sql(`alter table ${name} rename spare to other`);
    const second = watchOf(watchers, { slot });
    const { events, warnings } = record(second, `${name}:inserted`);
    await second.start();
    await settled(db, second);
    expect(events).toEqual([[{ id: 1 }, ['b']]]);
    expect(warnings).toMatchObject([{ code: 'SCHEMA_CHANGED', message: expect.stringContaining("no column 'b'") }]);
  });
});

test(
  'a table that is dropped and re-created falls out of the publication: a warning has the solution',
  { timeout: 40_000 },
  async () => {
    const name = await newTable();
    const watch = watchOf(defineWatchers([[name, 'inserted']]));
    const { events, warnings } = record(watch, `${name}:inserted`);
    await watch.start();
    const client = await db.client();
    for (const step of ['begin', `drop table ${name}`, `create table ${name} (id int primary key)`, 'commit'])
      await client.query(step);
    await until(() => warnings.length > 0, { describe: 'the warning', timeout: 20_000 });
    expect(warnings[0]).toMatchObject({
      code: 'PUBLICATION_CHANGED',
      solution: expect.stringContaining(`ADD TABLE ONLY "public"."${name}"`),
    });
    await db.sql(/ALTER PUBLICATION [^;]*;/.exec(warnings[0]!.solution!)![0]);
    await db.sql(`insert into ${name} values (1)`);
    await settled(db, watch);
    expect(events).toEqual([{ id: 1 }]);
  },
);

test('a table that is dropped and re-created while no worker runs is published again, and a warning reports the missed changes', async () => {
  const [name, late] = [await newTable(), await newTable()];
  const slot = nameOn(db);
  const first = watchOf(defineWatchers([[name, 'inserted']]), { slot });
  await first.start();
  await first.stop();
  await db.sql(`drop table ${name}`);
  await db.sql(`create table ${name} (id int primary key)`);
  await db.sql(`insert into ${name} values (1)`);
  const both = [name, late].map((one) => [one, 'inserted'] as const);
  const second = watchOf(defineWatchers(both), { slot });
  const { events, warnings } = record(second, `${name}:inserted`);
  await second.start();
  await db.sql(`insert into ${name} values (2)`);
  await settled(db, second);
  expect(events).toEqual([{ id: 2 }]);
  expect(warnings).toMatchObject([
    { code: 'PUBLICATION_CHANGED', message: expect.stringContaining(`"${name}" was no longer in the publication`) },
  ]);
  await second.stop();
  const third = watchOf(defineWatchers(both), { slot });
  const told = record(third, `${name}:inserted`);
  await third.start();
  await settled(db, third);
  expect(told.warnings).toEqual([]);
});

test(
  'a watched table that is dropped causes a warning: other tables continue through their own changes and new partitions',
  { timeout: 40_000 },
  async () => {
    const [dropped, altered, root] = [await newTable(), await newTable(), `changing_${++number}`];
    await db.sql(`create table ${root} (id int primary key) partition by range (id)`);
    await db.sql(`create table ${root}_low partition of ${root} for values from (0) to (10)`);
    const watch = watchOf(defineWatchers([dropped, altered, root].map((name) => [name, 'inserted'] as const)));
    const { events, warnings } = record(watch, `${dropped}:inserted`, `${altered}:inserted`, `${root}:inserted`);
    await watch.start();
    await db.sql(`insert into ${dropped} values (1)`);
    await db.sql(`alter table ${dropped} add late int`);
    await db.sql(`insert into ${dropped} values (2)`);
    await db.sql(`drop table ${dropped}`);
    await db.sql(`alter table ${altered} add late int`);
    await db.sql(`insert into ${altered} values (3)`);
    await db.sql(`create table ${root}_high partition of ${root} for values from (10) to (20)`);
    await db.sql(`insert into ${root} values (4), (14)`);
    await settled(db, watch);
    expect(events).toEqual([1, 2, 3, 4, 14].map((id) => ({ id })));
    await until(() => warnings.length > 0, { describe: 'the warning', timeout: 20_000 });
    expect(warnings).toMatchObject([
      { code: 'PUBLICATION_CHANGED', message: expect.stringMatching(`"${dropped}" fell out .* dropped or renamed`) },
    ]);

    await db.sql(`create table ${dropped} (id int primary key)`);
    await until(() => warnings.length > 1, { describe: 'the next warning', timeout: 20_000 });
    await db.sql(/ALTER PUBLICATION [^;]*;/.exec(warnings[1]!.solution!)![0]);
    await db.sql(`insert into ${dropped} values (5)`);
    await settled(db, watch);
    expect(events.at(-1)).toEqual({ id: 5 });
    expect(watch.status().state).toBe('streaming');
  },
);

test('with REPLICA IDENTITY FULL, a dropped column of a deleted watcher ends the watch, and the error does not blame the identity', async () => {
  const name = await newTable();
  await db.sql(`alter table ${name} replica identity full`);
  const watch = watchOf(defineWatchers([[name, 'deleted', { extraColumns: ['b'] }]]));
  const { events, warnings } = record(watch, `${name}:deleted`);
  await watch.start();
  await db.sql(`insert into ${name} values (1, 'x', 10), (2, 'y', 20)`);
  await db.sql(`delete from ${name} where id = 1`);
  await settled(db, watch);
  await db.sql(`alter table ${name} drop b`);
  await db.sql(`delete from ${name}`);
  await expect(watch.closed).rejects.toMatchObject({
    code: 'SCHEMA_CHANGED',
    message: expect.stringMatching(`^"public"."${name}" was changed.* has no column 'b'`),
  });
  expect(events).toEqual([{ id: 1, b: 10 }]);
  expect(warnings.map(({ code }) => code)).not.toContain('REPLICA_IDENTITY');
});

test('changes from before the identity became FULL lack old values, and the warning does not ask for FULL again', async () => {
  const name = await newTable();
  const slot = slotName();
  const first = watchOf(defineWatchers([[name, 'inserted'], [name, 'deleted']]), { slot }); // prettier-ignore
  await first.start();
  await first.stop();
  await db.sql(`insert into ${name} values (1, 'x', 10)`);
  await db.sql(`delete from ${name}`);
  await db.sql(`alter table ${name} replica identity full`);
  const second = watchOf(defineWatchers([[name, 'deleted', { extraColumns: ['b'] }]]), { slot });
  const { events, warnings } = record(second, `${name}:deleted`);
  await second.start();
  await settled(db, second);
  expect(events).toEqual([[{ id: 1 }, ['b']]]);
  expect(warnings).toMatchObject([{ code: 'REPLICA_IDENTITY', solution: expect.not.stringContaining('ALTER TABLE') }]);
});

test('only the changed one of many tables is read from the catalog', async () => {
  const names = await Promise.all(Array.from({ length: 20 }, newTable));
  const watch = watchOf(defineWatchers(names.map((name) => [name, 'inserted'] as const)));
  const { events } = record(watch, ...names.map((name) => `${name}:inserted`));
  await watch.start();
  for (const name of names) await db.sql(`insert into ${name} (id) values (1)`);
  await settled(db, watch);
  const query = vi.spyOn(Client.prototype, 'query');
  onTestFinished(() => query.mockRestore());
  const changed = names[7]!;
  await db.sql(`alter table ${changed} add extra text`);
  for (const name of names) await db.sql(`insert into ${name} (id) values (2)`);
  await settled(db, watch);
  // Not those of the inspection, which looks at all tables every 10 s: they are not about one relation.
  const ofRelation = (query.mock.calls as unknown as [string, [string[], string[], number | null]][]).filter(
    ([text, values]) => String(text).includes('pg_inherits') && values[2] !== null,
  );
  expect([ofRelation.map(([, [, asked]]) => asked), events.length]).toEqual([[[changed]], 40]);
});
