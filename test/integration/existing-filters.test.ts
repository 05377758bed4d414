/** Which rows and columns are read: the same that changes have. */
import { readFile } from 'node:fs/promises';
import { beforeAll, expect, inject, test } from 'vitest';
import { type Change, type ConfigurationError, defineWatchers, type WatchError } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { nameOn, settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);
const { version } = inject('server');
const filters = test.skipIf(version < 15);
const generated = test.skipIf(version < 18);

// With manage: 'verify' walwatch does not create it.
beforeAll(async () => void (await db.sql(await readFile('sql/migrations/003_existing.sql', 'utf8'))));

/** A watch and a subscription that records existing rows and changes in two lists. */
function hearing(watchers: any, { names, ...options }: { names: readonly string[]; [option: string]: unknown }) {
  const watch: any = watchOf(watchers, options as never);
  const rows: any[] = [];
  const changes: any[] = [];
  const subscription = watch.subscribe(
    names,
    ({ type, event, context }: Change) => void (context.existing ? rows.push(event) : changes.push([type, event])),
    { name: 'copy', existing: { version: 'v1', chunk: 3 } },
  );
  return { watch, rows, changes, subscription };
}

/** A table with orders 1 to 12: the even ones are paid, and each has a total of ten times its id. */
const ordersIn = (table: string) =>
  db.sql(`create table ${table} (id int primary key, status text, total int);
          alter table ${table} replica identity full;
          insert into ${table} select n, case when n % 2 = 0 then 'paid' else 'open' end, n * 10 from generate_series(1, 12) n`);

filters(
  "the row filter of a publication that the user made, and 'when', apply to existing rows as to changes",
  async () => {
    await ordersIn('theirs');
    const slot = nameOn(db);
    const where = `status = 'paid' and total < 110`;
    await db.sql(`create publication "${slot}" for table theirs where (${where})`);
    const list = [['theirs', ['inserted', 'deleted'], { where, extraColumns: ['total'] }]];
    const when = { 'theirs:inserted': ({ total }: any) => total > 30 };
    const { watch, rows, changes, subscription } = hearing(defineWatchers(list as never, { when } as never), {
      names: ['theirs:inserted', 'theirs:deleted'],
      slot,
      manage: 'verify',
    });
    await db.sql(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    await watch.start();
    await subscription.existing.done;
    const matching = [4, 6, 8, 10].map((id) => ({ id, total: id * 10 }));
    expect(rows).toEqual(matching);
    expect(subscription.existing.rows).toBe(4);
    // The same rows as changes.
    await db.sql('delete from theirs');
    await db.sql(
      `insert into theirs select n, case when n % 2 = 0 then 'paid' else 'open' end, n * 10 from generate_series(1, 12) n`,
    );
    await settled(db, watch);
    expect(changes.filter(([type]) => type === 'inserted').map(([, event]) => event)).toEqual(matching);
  },
);

filters(
  "'where' of the watchers applies to existing rows, also to a quoted column and a type of the user's",
  async () => {
    await db.sql(`create type mood as enum ('good', 'bad');
    create table "Odd Orders" (id int primary key, "Is ""Paid""?" bool, mood mood default 'good', note text);
    insert into "Odd Orders" select n, n % 3 = 0, case when n = 6 then 'bad' else 'good' end::mood from generate_series(1, 12) n`);
    const where = `"Is ""Paid""?" and "Odd Orders".note is null`;
    const { watch, rows, changes, subscription } = hearing(
      defineWatchers([['Odd Orders', 'inserted', { where, extraColumns: ['mood'] }]] as never),
      { names: ['Odd Orders:inserted'] },
    );
    await watch.start();
    await subscription.existing.done;
    expect(rows).toEqual([3, 6, 9, 12].map((id) => ({ id, mood: id === 6 ? 'bad' : 'good' })));
    await db.sql(
      `insert into "Odd Orders" values (13, true), (14, false); insert into "Odd Orders" values (15, true, 'bad', 'note')`,
    );
    await settled(db, watch);
    expect(changes).toEqual([['inserted', { id: 13, mood: 'good' }]]);
  },
);

filters('a filter of a partitioned table applies to the rows of all its partitions', async () => {
  await db.sql(`create table sliced (id int primary key, state text) partition by range (id);
    create table sliced_low partition of sliced for values from (0) to (6);
    create table sliced_high (state text, id int primary key); alter table sliced attach partition sliced_high for values from (6) to (20);
    insert into sliced select n, case when n % 4 = 0 then 'on' else 'off' end from generate_series(1, 12) n`);
  const { watch, rows, subscription } = hearing(
    defineWatchers([['sliced', 'inserted', { where: `state = 'on'` }]] as never),
    { names: ['sliced:inserted'] },
  );
  await watch.start();
  await subscription.existing.done;
  expect(rows).toEqual([{ id: 4 }, { id: 8 }, { id: 12 }]);
});

filters('a row that begins or stops to match while its table is read is delivered as its changes say', async () => {
  await ordersIn('flipping');
  await db.sql(`insert into flipping select n, 'paid', 0 from generate_series(13, 400) n`);
  const where = `status = 'paid'`;
  const watch: any = watchOf(
    defineWatchers([['flipping', ['inserted', 'updated', 'deleted'], { where, extraColumns: ['total'] }]] as never),
  );
  const copy = new Map<number, number>();
  let count = 0;
  const subscription = watch.subscribe(
    ['flipping:inserted', 'flipping:updated', 'flipping:deleted'],
    async ({ type, event }: Change<any>) => {
      if (++count === 20)
        await db.sql(`update flipping set status = case status when 'paid' then 'open' else 'paid' end, total = total + 1
                      where id % 3 = 0 or id < 40`);
      if (type === 'deleted') copy.delete(event.id);
      else copy.set(event.id, event.total);
    },
    { name: 'copy', existing: { version: 'v1', chunk: 16 } },
  );
  await watch.start();
  await subscription.existing.done;
  await settled(db, watch);
  const table = await db.sql<any>(`select id, total from flipping where ${where} order by id`);
  expect([...copy].toSorted(([a], [b]) => a - b)).toEqual(table.map(({ id, total }) => [id, total]));
});

filters('a role that may not read the columns of the row filter is refused at the start', async () => {
  const slot = nameOn(db);
  await db.sql(`create table hidden (id int primary key, state text); insert into hidden values (1, 'on'), (2, 'off');
    create publication "${slot}" for table hidden where (state = 'on') with (publish = 'insert');
    create role narrow login replication password 'x'; grant select (id) on hidden to narrow;
    grant usage on schema walwatch to narrow; grant select, insert, update on walwatch.existing to narrow`);
  const url = new URL(db.url);
  url.username = 'narrow';
  url.password = 'x';
  const watch: any = watchOf(defineWatchers([['hidden', 'inserted']] as never) as never, {
    connection: url.href,
    slot,
    manage: 'verify',
  });
  watch.subscribe('hidden:inserted', () => {}, { name: 'copy', existing: 'v1' });
  await db.sql(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  const error = (await watch.start().catch((refused: unknown) => refused)) as ConfigurationError;
  await db.sql('drop owned by narrow; drop role narrow');
  expect(error.issues).toMatchObject([
    {
      message: `existing: the role 'narrow' may not read "public"."hidden"`,
      solution: expect.stringContaining('GRANT SELECT ("id", "state") ON "public"."hidden" TO "narrow";'),
    },
  ]);
});

test('generated columns are read exactly when changes have them', async () => {
  await db.sql(`create table computed (id int primary key, a int, twice int generated always as (a * 2) stored);
                insert into computed (id, a) values (1, 21), (2, 22)`);
  const watchers = (extraColumns: readonly string[]) =>
    defineWatchers([['computed', 'inserted', { extraColumns }]] as never);
  const names = ['computed:inserted'];
  const { watch, rows, changes, subscription } = hearing(watchers(['a', 'twice']), { names });
  if (version < 18) {
    await expect(watch.start()).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining('generated column'),
    });
    const plain = hearing(watchers(['a']), { names });
    await plain.watch.start();
    await plain.subscription.existing.done;
    expect(plain.rows).toEqual([{ id: 1, a: 21 }, { id: 2, a: 22 }]); // prettier-ignore
    return;
  }
  await watch.start();
  await subscription.existing.done;
  await db.sql('insert into computed (id, a) values (3, 23)');
  await settled(db, watch);
  expect([...rows, ...changes.map(([, event]) => event)]).toEqual(
    [1, 2, 3].map((id) => ({ id, a: 20 + id, twice: 40 + 2 * id })),
  );
});

generated("a user's publication without generated columns is refused, and virtual ones always are", async () => {
  await db.sql(`create table derived (id int primary key, a int, kept int generated always as (a * 2) stored,
                  shown int generated always as (a * 3) virtual); insert into derived (id, a) values (1, 21)`);
  const refusal = async (column: string, publish: string) => {
    const slot = nameOn(db);
    await db.sql(`create publication "${slot}" for table derived with (publish_generated_columns = ${publish})`);
    const { watch } = hearing(defineWatchers([['derived', 'inserted', { extraColumns: [column] }]] as never), {
      names: ['derived:inserted'],
      slot,
      manage: 'verify',
    });
    await db.sql(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    return watch.start().then(
      () => 'started',
      (error: WatchError) => error.message,
    );
  };
  expect(await refusal('kept', 'none')).toMatch(/publish_generated_columns/);
  expect(await refusal('kept', 'stored')).toBe('started');
  expect(await refusal('shown', 'stored')).toMatch(
    /'shown'.*virtual generated column|virtual generated column 'shown'/,
  );
});
