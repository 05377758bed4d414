/** The schema changes while its changes stream: no wrong value is delivered, and every loss is reported. */
import { Client } from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { defineWatchers, table } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { settled, slotName, watchOn } from '../support/watching.ts';
import { newTable, record } from '../support/schema-changes.ts';

const db = useDatabase();
const watchOf = watchOn(db);

test('columns without a watcher are added and dropped, several times in one transaction; a warning names the dropped ones', async () => {
  const name = await newTable(db);
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
    const name = await newTable(db);
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
  const name = await newTable(db);
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
    const name = await newTable(db);
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
  const name = await newTable(db);
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
  const name = await newTable(db);
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

test('only the changed one of many tables is read from the catalog', async () => {
  const names = await Promise.all(Array.from({ length: 20 }, () => newTable(db)));
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
