/** However rows are written, each change of a row is one event. */
import { expect, inject, test } from 'vitest';
import { makeTable, streamTables } from '../support/changes.ts';
import { useDatabase } from '../support/database.ts';

const db = useDatabase();
const streaming = streamTables(db);
let made = 0;
const table = () => `t${++made}`;

test('COPY of many rows', async () => {
  const t = table();
  const { changes } = await streaming(t);
  const rows = 5000;
  await db.sql(`copy ${t} from program 'seq 1 ${rows} | sed "s/.*/&\\ttext &/"'`);
  await db.sql(`copy ${t} from program 'echo -1,' with (format csv)`);
  expect(await changes()).toEqual([
    ...Array.from({ length: rows }, (_, index) => ['inserted', index + 1, `text ${index + 1}`]),
    ['inserted', -1, null],
  ]);
});

test('a statement on many rows is one event for each, in the order of writing', async () => {
  const t = table();
  const { changes, heard } = await streaming(t);
  await db.sql(`insert into ${t} select i, 'x' from generate_series(1, 1000) i`);
  await db.sql(`update ${t} set v = 'y' where id > 998`);
  await db.sql(`delete from ${t} where id < 3`);
  const all = await changes();
  expect(all.slice(0, 1000)).toEqual(Array.from({ length: 1000 }, (_, index) => ['inserted', index + 1, 'x']));
  expect(all.slice(1000)).toEqual([
    ['updated', 999, 'y'],
    ['updated', 1000, 'y'],
    ['deleted', 1, 'x'],
    ['deleted', 2, 'x'],
  ]);
  expect(new Set(heard.map(({ context }) => context.eventId)).size).toBe(heard.length);
});

test('ON CONFLICT: an insert, an update, or nothing', async () => {
  const t = table();
  const { changes } = await streaming(t);
  await db.sql(`insert into ${t} values (1, 'first')`);
  await db.sql(`insert into ${t} values (1, 'second') on conflict do nothing`);
  await db.sql(`insert into ${t} values (1, 'third'), (2, 'new') on conflict (id) do update set v = excluded.v`);
  await db.sql(`insert into ${t} values (1, 'fourth') on conflict (id) do update set v = 'never' where false`);
  expect(await changes()).toEqual([
    ['inserted', 1, 'first'],
    ['updated', 1, 'third'],
    ['inserted', 2, 'new'],
  ]);
});

test('MERGE: an insert, an update, a delete, or nothing', async ({ skip }) => {
  if (inject('server').version < 15) skip('MERGE came with PostgreSQL 15');
  const t = table();
  const { changes } = await streaming(t);
  await db.sql(`insert into ${t} values (1, 'a'), (2, 'b'), (3, 'c')`);
  await db.sql(`merge into ${t} t using (values (1), (2), (3), (4)) s(id) on s.id = t.id
    when matched and s.id = 1 then update set v = 'merged'
    when matched and s.id = 2 then delete
    when matched then do nothing
    when not matched then insert values (s.id, 'new')`);
  const merged = (await changes()).slice(3);
  expect(merged).toHaveLength(3);
  expect(merged).toEqual(
    expect.arrayContaining([
      ['updated', 1, 'merged'],
      ['deleted', 2, 'b'],
      ['inserted', 4, 'new'],
    ]),
  );
});

test('TRUNCATE … CASCADE of several watched tables is one event for each of them, and no deletes', async () => {
  const [parent, child, other, unwatched] = [table(), table(), table(), table()];
  await makeTable(db, unwatched);
  const { changes, heard } = await streaming(parent, child, other);
  for (const t of [child, unwatched]) await db.sql(`alter table ${t} add foreign key (id) references ${parent}`);
  await db.sql(`insert into ${parent} values (1, 'p'); insert into ${child} values (1, 'c')`);
  await db.sql(`truncate ${parent}, ${other} restart identity cascade`);
  const truncated = (await changes()).slice(2);
  expect(truncated).toHaveLength(3);
  expect(truncated).toEqual(expect.arrayContaining([parent, child, other].map((t) => ['truncated', t])));
  // One change of the transaction, with events for three watchers.
  expect(new Set(heard.slice(2).map(({ context }) => context.eventId)).size).toBe(1);
});

test('writes of triggers count, even nested ones, and rows arrive as triggers changed them', async () => {
  const [first, second] = [table(), table()];
  const { changes } = await streaming(first, second);
  await db.sql(`
    create function upper_v() returns trigger language plpgsql as $$ begin new.v := upper(new.v); return new; end $$;
    create function descend() returns trigger language plpgsql as $$ begin
      if new.id > 0 then insert into ${first} values (new.id - 1, 'from ' || new.id); end if;
      insert into ${second} values (new.id, new.v);
      return null;
    end $$;
    create function veto() returns trigger language plpgsql as $$ begin return null; end $$;
    create trigger a before insert on ${first} for each row execute function upper_v();
    create trigger b after insert on ${first} for each row execute function descend();
    create trigger c before delete on ${first} for each row execute function veto();`);
  await db.sql(`insert into ${first} values (2, 'start')`);
  await db.sql(`delete from ${first}`);
  const all = await changes();
  expect(all.filter(([, where]) => where === first)).toEqual([
    ['inserted', first, 2, 'START'],
    ['inserted', first, 1, 'FROM 2'],
    ['inserted', first, 0, 'FROM 1'],
  ]);
  expect(all.filter(([, where]) => where === second)).toEqual([
    ['inserted', second, 0, 'FROM 1'],
    ['inserted', second, 1, 'FROM 2'],
    ['inserted', second, 2, 'START'],
  ]);
});

test('writes of foreign keys, and of a session with disabled triggers', async () => {
  const [parent, child] = [table(), table()];
  const { changes } = await streaming(parent, child);
  await db.sql(`alter table ${child} add foreign key (id) references ${parent} on delete cascade on update cascade`);
  await db.sql(`insert into ${parent} values (1, 'p'), (2, 'p'); insert into ${child} values (1, 'c'), (2, 'c')`);
  await db.sql(`update ${parent} set id = 3 where id = 1`);
  await db.sql(`delete from ${parent} where id = 2`);
  const replica = await db.client();
  await replica.query(`set session_replication_role = replica`);
  await replica.query(`delete from ${parent}`); // the child stays, in violation of its foreign key
  const all = (await changes()).slice(4);
  expect(all).toEqual([
    ['updated', parent, 3, 'p'],
    ['updated', child, 3, 'c'],
    ['deleted', parent, 2, 'p'],
    ['deleted', child, 2, 'c'],
    ['deleted', parent, 3, 'p'],
  ]);
});
