/** docs/migrate/: the old consumer handles everything before one position, walwatch everything from there on. */
import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { compareLsn, defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { slotName, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const roles = defineWatchers<{ roles: { id: number } }>()([['roles', 'inserted']]);
const insert = 'insert into roles (name) values ($1)';

/** Makes slot and publication, as `walwatch setup` does, and handles nothing. */
async function makeSlot(slot: string): Promise<void> {
  const watch = watchOf(roles, { slot });
  await watch.start();
  await watch.stop();
}

/** The ids that a worker handles from the position on. */
async function handledFrom(slot: string, cutOver: string): Promise<number[]> {
  const watch = watchOf(roles, { slot });
  const handled: number[] = [];
  watch.subscribe('roles:inserted', ({ id }, { commitLsn }) => {
    if (compareLsn(commitLsn, cutOver) < 0) return;
    handled.push(id);
  });
  await watch.start();
  await watch.caughtUp();
  return handled;
}

const idsOf = (rows: readonly { readonly id: number }[]) => rows.map(({ id }) => id);
const ascending = (a: number, b: number) => a - b;

test('dropping the trigger and reading the position in one transaction: each change goes to the trigger or to walwatch, never to both', async () => {
  await db.sql('create table told (id int)');
  await db.sql(
    `create function tell() returns trigger language plpgsql as $$ begin insert into told values (new.id); return new; end $$`,
  );
  await db.sql('create trigger tell after insert on roles for each row execute function tell()');
  const slot = slotName();
  await makeSlot(slot);

  // Six sessions write all the while.
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  let written = 0;
  const writers = Array.from({ length: 6 }, async (_, writer) => {
    const client = await db.client();
    while (!stop.signal.aborted) {
      await client.query(insert, [`writer ${writer}`]);
      written++;
    }
  });
  const more = (count: number) => {
    const target = written + count;
    return until(() => written >= target, { describe: () => `${target} rows, ${written} so far` });
  };
  await more(100);
  const client = await db.client();
  await client.query('begin');
  await client.query('drop trigger tell on roles');
  const position = await client.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn');
  await client.query('commit');
  await more(100);
  stop.abort();
  await Promise.all(writers);

  const handled = await handledFrom(slot, position.rows[0]!.lsn);
  const told = idsOf(await db.sql<{ id: number }>('select id from told'));
  const all = idsOf(await db.sql<{ id: number }>(`select id from roles where name like 'writer%' order by id`));
  expect(told.length).toBeGreaterThanOrEqual(100);
  expect(handled.length).toBeGreaterThanOrEqual(90);
  expect([...told, ...handled].toSorted(ascending)).toEqual(all);
});

test('the confirmed position of another consumer’s slot: walwatch handles exactly what that consumer has not confirmed', async () => {
  const old = slotName();
  await db.sql('create publication dbz_publication for table roles');
  await db.sql(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [old]);
  onTestFinished(() => db.dropSlot(old));
  const slot = slotName();
  await makeSlot(slot);
  await db.sql(insert, ['confirmed']);
  await db.sql(insert, ['confirmed']);
  await db.sql(
    `select count(*) from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', 'dbz_publication')`,
    [old],
  );
  await db.sql(insert, ['left']);
  await db.sql(insert, ['left']);

  const [found] = await db.sql<{ lsn: string }>(
    'select confirmed_flush_lsn as lsn from pg_replication_slots where slot_name = $1',
    [old],
  );
  const left = await db.sql<{ id: number }>(`select id from roles where name = 'left' order by id`);
  expect(await handledFrom(slot, found!.lsn)).toEqual(idsOf(left));
});

/** The SQL blocks of a guide that hold this text. */
function sqlOf(page: string, text: string): string {
  const blocks = readFileSync(`docs/migrate/${page}.md`, 'utf8').matchAll(/^```sql\n([^]*?)^```/gm);
  const found = [...blocks].map(([, sql]) => sql!).find((sql) => sql.includes(text));
  if (found === undefined) throw new Error(`no SQL with '${text}' in ${page}.md`);
  return found;
}

const triggersOf = async (table: string) =>
  (await db.sql<{ tgname: string }>('select tgname from pg_trigger where tgrelid = $1::regclass and not tgisinternal order by 1', [table])).map(({ tgname }) => tgname); // prettier-ignore

test('the SQL of the EctoWatch guide drops all of EctoWatch’s triggers, no others, and returns the position', async () => {
  await db.sql('create function nothing() returns trigger language plpgsql as $$ begin return null; end $$');
  for (const [name, table] of [
    ['ew_users_inserted_trigger', 'users'],
    ['ew_odd_trigger', 'packages'],
    ['ewok', 'users'],
  ])
    await db.sql(`create trigger ${name} after insert on ${table} for each row execute function nothing()`);
  const client = await db.client();
  const results = (await client.query(sqlOf('ectowatch', 'ew\\_%'))) as unknown as { rows: unknown[] }[];
  expect(results.flatMap(({ rows }) => rows)).toEqual([{ pg_current_wal_insert_lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) }]); // prettier-ignore
  expect(await triggersOf('users')).toEqual(['ewok']);
  expect(await triggersOf('packages')).toEqual([]);
});

test('the SQL of the LISTEN/NOTIFY guide makes a trigger that notifies, drops it, and finds those that are left', async () => {
  const client = await db.client();
  await client.query(sqlOf('listen-notify', 'CREATE FUNCTION notify_user'));
  const left = sqlOf('listen-notify', "ILIKE '%pg_notify%'").replace(/^DROP FUNCTION.*\n/m, '');
  expect((await client.query(left)).rows).toEqual([
    { watched: 'users', tgname: 'users_notify', proname: 'notify_user' },
  ]);
  await client.query(sqlOf('listen-notify', 'DROP TRIGGER users_notify'));
  expect((await client.query(left)).rows).toEqual([]);
  await client.query('drop function notify_user()');
});
