/** Tables and columns that are dropped, and identities that change, while a watch streams or is stopped. */
import { expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { nameOn, settled, slotName, watchOn } from '../support/watching.ts';
import { newTable, record } from '../support/schema-changes.ts';

const db = useDatabase();
const watchOf = watchOn(db);

test('a table that is dropped and re-created falls out of the publication: a warning has the solution', async () => {
  const name = await newTable(db);
  const watch = watchOf(defineWatchers([[name, 'inserted']]));
  const { events, warnings } = record(watch, `${name}:inserted`);
  await watch.start();
  const client = await db.client();
  for (const step of ['begin', `drop table ${name}`, `create table ${name} (id int primary key)`, 'commit'])
    await client.query(step);
  await until(() => warnings.length > 0, { describe: 'the warning' });
  expect(warnings[0]).toMatchObject({
    code: 'PUBLICATION_CHANGED',
    solution: expect.stringContaining(`ADD TABLE ONLY "public"."${name}"`),
  });
  await db.sql(/ALTER PUBLICATION [^;]*;/.exec(warnings[0]!.solution!)![0]);
  await db.sql(`insert into ${name} values (1)`);
  await settled(db, watch);
  expect(events).toEqual([{ id: 1 }]);
});

test('a table that is dropped and re-created while no worker runs is published again, and a warning reports the missed changes', async () => {
  const [name, late] = [await newTable(db), await newTable(db)];
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

test('a watched table that is dropped causes a warning: other tables continue through their own changes and new partitions', async () => {
  const [dropped, altered, root] = [await newTable(db), await newTable(db), 'changing_root'];
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
  await until(() => warnings.length > 0, { describe: 'the warning' });
  expect(warnings).toMatchObject([
    {
      code: 'PUBLICATION_CHANGED',
      message: expect.stringMatching(`"${dropped}" is no longer in .* dropped or renamed`),
    },
  ]);

  await db.sql(`create table ${dropped} (id int primary key)`);
  await until(() => warnings.length > 1, { describe: 'the next warning' });
  await db.sql(/ALTER PUBLICATION [^;]*;/.exec(warnings[1]!.solution!)![0]);
  await db.sql(`insert into ${dropped} values (5)`);
  await settled(db, watch);
  expect(events.at(-1)).toEqual({ id: 5 });
  expect(watch.status().state).toBe('streaming');
});

test('with REPLICA IDENTITY FULL, a dropped column of a deleted watcher ends the watch, and the error does not blame the identity', async () => {
  const name = await newTable(db);
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
  const name = await newTable(db);
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
