/** Columns that are renamed while their changes stream. */
import { describe, expect, test } from 'vitest';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { newTable, record } from '../support/schema-changes.ts';

const db = useDatabase();
const watchOf = watchOn(db);

describe('a watched column that is renamed and renamed back', () => {
  const away = (name: string) => `alter table ${name} rename b to c`;
  const back = (name: string) => `alter table ${name} rename c to b`;

  test.for([false, true])(
    'has its values in all changes in between, in any order; other columns dropped: %s',
    async (dropped) => {
      const name = await newTable(db);
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
    const name = await newTable(db);
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
    const name = await newTable(db);
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
    const name = await newTable(db);
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
    expect(warnings).toMatchObject([
      { code: 'SCHEMA_CHANGED', message: expect.stringContaining("before it had the column 'b'") },
    ]);
  });
});
