/** Names that are camelCase in the application and snake_case in the database, as Kysely and Drizzle convert them. */
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, jsonb, pgSchema, pgTable, pgTableCreator, primaryKey, serial, text } from 'drizzle-orm/pg-core';
import { CamelCasePlugin, type Generated, Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type CamelCaseNaming, defineWatchers, table } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { recorder } from '../support/recorder.ts';
import { settled, watchOn } from '../support/watching.ts';

const db = useDatabase();
const watchOf = watchOn(db);

function pooled(): Pool {
  const pool = new Pool({ connectionString: db.url });
  onTestFinished(() => pool.end());
  return pool;
}

describe('Kysely with its CamelCasePlugin', () => {
  interface Account {
    id: Generated<number>;
    roleId: number | null;
    address2: string | null;
    userID: string | null;
    settings: { darkMode: boolean; itsParts: { partNo: number }[] } | null;
  }
  interface OrderLine {
    orderId: number;
    lineNo: number;
    qty: number;
  }
  interface DB {
    userAccounts: Account;
    'myErp.orderLines': OrderLine;
  }

  /** Two schemas that differ in how the plugin writes a digit. */
  const kinds: readonly (readonly [CamelCaseNaming, address: string])[] = [
    [{}, 'address2'],
    [{ underscoreBeforeDigits: true }, 'address_2'],
  ];

  test.each(kinds)('with %j events, filters and names are those of the interface', async (naming, address) => {
    await db.sql(`drop schema if exists my_erp cascade; create schema my_erp; drop table if exists user_accounts;
      create table user_accounts (id serial primary key, role_id int, ${address} text, user_id text, settings jsonb);
      create table my_erp.order_lines (order_id int, line_no int, qty int, primary key (order_id, line_no));
      alter table user_accounts replica identity full`);
    const kysely = new Kysely<DB>({
      dialect: new PostgresDialect({ pool: pooled() }),
      plugins: [new CamelCasePlugin(naming)],
    });
    const lines = table<OrderLine>()({ tableName: 'orderLines', schema: 'myErp', primaryKey: ['orderId', 'lineNo'] });
    const watchers = defineWatchers<DB>()(
      [
        ['userAccounts', 'inserted', { extraColumns: ['roleId', 'address2', 'userID', 'settings'] }],
        [
          'userAccounts',
          'updated',
          { label: 'moved', triggerColumns: ['address2'], extraColumns: ['address2', 'roleId'] },
        ],
        [lines, 'updated', { extraColumns: ['qty'] }],
      ],
      { naming },
    );
    const watch = watchOf(watchers);
    const heard: unknown[] = [];
    watch.subscribe('userAccounts:inserted', { roleId: 7 }, (event) => void heard.push(event));
    watch.subscribe('moved', { address2: 'Rome' }, (event, { previous }) => void heard.push(event, previous));
    watch.subscribe('myErp.orderLines:updated', { orderId: 1, lineNo: 2 }, (event) => void heard.push(event));
    await watch.start();

    const settings = { darkMode: true, itsParts: [{ partNo: 1 }] };
    const account = { roleId: 7, address2: 'Oslo', userID: 'ada', settings };
    const { id } = await kysely.insertInto('userAccounts').values({ ...account, settings: JSON.stringify({ dark_mode: true, its_parts: [{ part_no: 1 }] }) as never }).returning('id').executeTakeFirstOrThrow(); // prettier-ignore
    await kysely.updateTable('userAccounts').set({ address2: 'Rome' }).where('id', '=', id).execute();
    await kysely.insertInto('myErp.orderLines').values({ orderId: 1, lineNo: 2, qty: 3 }).execute();
    await kysely.updateTable('myErp.orderLines').set({ qty: 4 }).execute();
    await settled(db, watch);

    expect(heard).toEqual([
      { id, ...account },
      { id, address2: 'Rome', roleId: 7 },
      { id, address2: 'Oslo', roleId: 7 },
      { orderId: 1, lineNo: 2, qty: 4 },
    ]);
    // The plugin's own result for the row. It returns userId for a column that it accepts as userID.
    const [row] = await kysely.selectFrom('userAccounts').select(['id', 'roleId', 'settings']).execute();
    expect(row).toEqual({ id, roleId: 7, settings });
    expect(watch.details('userAccounts:inserted')).toMatchObject({
      schema: 'public',
      table: 'user_accounts',
      primaryKey: ['id'],
      columns: ['id', 'roleId', 'address2', 'userId', 'settings'],
      columnMap: { roleId: 'role_id' },
    });
  });

  test('a missing name is reported as it would be in the database', async () => {
    await db.sql('create table if not exists user_accounts (id serial primary key, role_id int)');
    const watch = watchOf(
      defineWatchers(
        [
          ['userAccount', 'updated'],
          ['userAccounts', 'updated', { extraColumns: ['teamId'] }],
        ],
        { naming: 'camelCase' },
      ),
    );
    await expect(watch.start()).rejects.toMatchObject({
      issues: [
        { message: `userAccount:updated: table "public"."user_account" does not exist`, solution: expect.stringContaining('naming') },
        { message: `userAccounts:updated: "public"."user_accounts" has no column 'team_id'` },
      ], // prettier-ignore
    });
  });
});

describe('Drizzle', () => {
  const columns = {
    id: serial().primaryKey(),
    authorId: integer(),
    headLine2: text(),
    itsMeta: jsonb().$type<{ aB: number }>(),
    named: text('Named By Hand'),
  };

  beforeAll(async () => {
    const rest = `"Named By Hand" text`;
    await db.sql(`create schema "my Erp";
      create table app_posts (id serial primary key, author_id int, head_line2 text, its_meta jsonb, ${rest});
      create table plain_posts (id serial primary key, "authorId" int, "headLine2" text, "itsMeta" jsonb, ${rest});
      create table "my Erp".posts (id serial primary key, author_id int, head_line2 text, its_meta jsonb, ${rest});
      create table camel_posts (id serial primary key, "authorId" int);
      create table mapped_posts (id serial primary key, writer int, head_line2 text, its_meta jsonb, ${rest});
      create table stock (part_id int, place_no int, amount int, primary key (part_id, place_no))`);
  });

  const prefixed = pgTableCreator((name) => `app_${name}`)('posts', columns);
  const plain = pgTable('plain_posts', columns);
  const inSchema = pgSchema('my Erp').table('posts', columns);

  test.each([
    ['snake_case', 'posts:inserted', prefixed],
    [undefined, 'plain_posts:inserted', plain],
    ['snake_case', 'my Erp.posts:inserted', inSchema],
  ] as const)('with casing %s, the name that compiles works: %s', async (casing, name, posts) => {
    const orm = drizzle(pooled(), casing ? { casing } : {});
    const watch = watchOf(defineWatchers([[posts as typeof prefixed, 'inserted', { extraColumns: ['authorId', 'headLine2', 'itsMeta', 'named'] }]])); // prettier-ignore
    const heard = recorder();
    watch.subscribe(name as 'posts:inserted', { authorId: 7 }, heard);
    await watch.start();
    const rows = [7, 8].map((authorId) => ({ authorId, headLine2: 'x', itsMeta: { aB: 1 }, named: 'y' }));
    const [first] = await orm
      .insert(posts as typeof prefixed)
      .values(rows)
      .returning();
    await settled(db, watch);
    expect(heard.all).toEqual([first]);
  });

  test("casing 'camelCase', for names in code that contain underscores", async () => {
    const posts = pgTable('camel_posts', { id: serial().primaryKey(), author_id: integer() });
    const watch = watchOf(defineWatchers([[posts, 'deleted'], [posts, 'inserted', { extraColumns: ['author_id'] }]])); // prettier-ignore
    const heard = recorder();
    watch.subscribe('camel_posts:inserted', { author_id: 7 }, heard);
    await watch.start();
    const [row] = await drizzle(pooled(), { casing: 'camelCase' }).insert(posts).values({ author_id: 7 }).returning();
    await settled(db, watch);
    expect(heard.all).toEqual([row]);
  });

  test('columnMap takes precedence, and the key is the one that Drizzle marks', async () => {
    const posts = table(pgTable('mapped_posts', columns))({ columnMap: { authorId: 'writer' } });
    const watch = watchOf(defineWatchers([[posts, 'inserted', { extraColumns: ['authorId', 'headLine2'] }]]));
    const heard = recorder();
    watch.subscribe('mapped_posts:inserted', { authorId: 7 }, heard);
    await watch.start();
    await db.sql(`insert into mapped_posts (writer, head_line2) values (7, 'x'), (8, 'y')`);
    await settled(db, watch);
    expect(heard.all).toEqual([{ id: 1, authorId: 7, headLine2: 'x' }]);
  });

  test('a composite key is converted too', async () => {
    const stock = pgTable('stock', { partId: integer(), placeNo: integer(), amount: integer() }, (own) => [
      primaryKey({ columns: [own.partId, own.placeNo] }),
    ]);
    const watch = watchOf(defineWatchers([[table(stock)({ primaryKey: ['partId', 'placeNo'] }), 'updated']]));
    const heard = recorder();
    watch.subscribe('stock:updated', { partId: 1, placeNo: 2 }, heard);
    await watch.start();
    await db.sql('insert into stock values (1, 2, 0), (1, 3, 0); update stock set amount = 1');
    await settled(db, watch);
    expect(heard.all).toEqual([{ partId: 1, placeNo: 2 }]);
    expect(watch.details('stock:updated').primaryKey).toEqual(['partId', 'placeNo']);
  });

  test('a column that no casing produces is reported by its name in code', async () => {
    const posts = pgTable('app_posts', { ...columns, teamId: integer() });
    const watch = watchOf(defineWatchers([[posts, 'updated', { extraColumns: ['teamId', 'authorId'] }]]));
    await expect(watch.start()).rejects.toThrow(`"public"."app_posts" has no column 'team_id'`);
  });
});
