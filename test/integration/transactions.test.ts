/** Whatever a transaction consists of: exactly its committed changes are delivered, in order. */
import { expect, test } from 'vitest';
import { streamTables } from '../support/changes.ts';
import { useDatabase } from '../support/database.ts';

const db = useDatabase();
const streaming = streamTables(db);
let made = 0;
const table = () => `t${++made}`;

test('changes rolled back to a savepoint are not delivered, those before and after it are', async () => {
  const t = table();
  const { changes } = await streaming(t);
  const client = await db.client();
  await client.query(`begin;
    insert into ${t} values (1, 'kept');
    savepoint a; insert into ${t} values (2, 'lost');
      savepoint b; insert into ${t} values (3, 'lost with a'); release b;
    rollback to a;
    savepoint c; insert into ${t} values (2, 'kept'); release c;
    savepoint d; delete from ${t}; rollback to d;
    insert into ${t} values (3, 'kept');
    commit`);
  expect(await changes()).toEqual([
    ['inserted', 1, 'kept'],
    ['inserted', 2, 'kept'],
    ['inserted', 3, 'kept'],
  ]);
});

test('a thousand subtransactions, every other one rolled back, in the order in which they wrote', async () => {
  const t = table();
  const { changes, heard } = await streaming(t);
  await db.sql(`do $$ begin
    for i in 1..1000 loop
      begin
        insert into ${t} values (i, i::text);
        if i % 2 = 0 then raise exception 'taken back'; end if;
      exception when raise_exception then null;
      end;
    end loop;
  end $$`);
  const kept = Array.from({ length: 500 }, (_, index) => index * 2 + 1);
  expect(await changes()).toEqual(kept.map((id) => ['inserted', id, String(id)]));
  expect(heard.map(({ context }) => context.ordinal)).toEqual(kept.map((_, index) => index));
});

test('a prepared transaction is delivered at COMMIT PREPARED, after transactions committed before that, or never', async () => {
  const t = table();
  const { changes } = await streaming(t);
  const client = await db.client();
  const prepare = (gid: string, id: number) =>
    client.query(`begin; insert into ${t} values (${id}, '${gid}'); prepare transaction '${t}_${gid}'`);
  await prepare('committed', 1);
  await prepare('rolled_back', 2);
  expect(await changes()).toEqual([]);
  await db.sql(`insert into ${t} values (3, 'between')`);
  expect(await changes()).toEqual([['inserted', 3, 'between']]);
  await db.sql(`commit prepared '${t}_committed'`);
  await db.sql(`rollback prepared '${t}_rolled_back'`);
  expect(await changes()).toEqual([
    ['inserted', 3, 'between'],
    ['inserted', 1, 'committed'],
  ]);
});

test('a truncate between changes of the same transaction keeps its place', async () => {
  const t = table();
  const { changes } = await streaming(t);
  await db.sql(`insert into ${t} values (1, 'before'); truncate ${t}; insert into ${t} values (1, 'after')`);
  expect(await changes()).toEqual([['inserted', 1, 'before'], ['truncated'], ['inserted', 1, 'after']]);
});

test('transactions without a change move the slot and deliver nothing', async () => {
  const t = table();
  const { changes } = await streaming(t);
  await db.sql('begin; select pg_current_xact_id(); commit');
  await db.sql(`begin; savepoint a; insert into ${t} values (1, 'x'); rollback to a; commit`);
  await db.sql(`update ${t} set v = 'no row'`);
  await db.sql(`create table ${table()} (id int)`);
  expect(await changes()).toEqual([]);
  await db.sql(`insert into ${t} values (1, 'x')`);
  expect(await changes()).toEqual([['inserted', 1, 'x']]);
});
