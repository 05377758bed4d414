import {
  integer,
  jsonb,
  pgEnum,
  pgSchema,
  pgTable,
  pgTableCreator,
  primaryKey,
  serial,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';
import { describe, expectTypeOf, test } from 'vitest';
import {
  type ContextOf,
  defineWatchers,
  type DrizzleTable,
  type EventOf,
  type FilterOf,
  table,
  type Watch,
  type WatcherName,
} from '../../src/index.ts';
import type { DB } from './database.ts';

const state = pgEnum('state', ['draft', 'published']);
const posts = pgTable('blog_posts', {
  id: serial('post_id').primaryKey(),
  authorId: integer('author_id').notNull(),
  editorId: integer('editor_id'),
  state: state('post_state').notNull(),
  meta: jsonb('meta').$type<{ readonly views: number }>().notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
});
const erp = pgSchema('erp');
const parts = erp.table('parts', { partUid: uuid('uid').primaryKey(), title: text('title').notNull() });
const stock = erp.table(
  'stock',
  { partUid: uuid('part_uid').notNull(), place: integer('place_no').notNull(), amount: integer('amount').notNull() },
  (columns) => [primaryKey({ columns: [columns.partUid, columns.place] })],
);
const stockByKey = table(stock)({ primaryKey: ['partUid', 'place'] });
const unkeyed = pgTable('unkeyed', { code: text('code_no').notNull().unique(), title: text('title') });

const watchers = defineWatchers<DB>()([
  [posts, 'inserted', { extraColumns: ['authorId'] }],
  [posts, 'updated', { extraColumns: ['authorId', 'editorId', 'state', 'meta', 'createdAt'] }],
  [posts, 'deleted'],
  [posts, 'updated', { label: 'published', triggerColumns: ['state'], extraColumns: ['authorId'], absent: 'omit' }],
  [posts, 'truncated'],
  [parts, 'updated', { extraColumns: ['title'] }],
  [stockByKey, 'updated', { extraColumns: ['amount'] }],
  [table(unkeyed)({ primaryKey: 'code' }), 'deleted'],
  ['users', 'updated'],
]);
type W = typeof watchers;
declare const watch: Watch<W>;
const handler = () => {};

test('a Drizzle table in any schema is a DrizzleTable', () => {
  expectTypeOf(posts).toExtend<DrizzleTable>();
  expectTypeOf(stock).toExtend<DrizzleTable>();
});

test('watchers of Drizzle tables are named by the names in the database, like those of the schema type', () => {
  expectTypeOf<WatcherName<W>>().toEqualTypeOf<
    | 'blog_posts:inserted'
    | 'blog_posts:updated'
    | 'blog_posts:deleted'
    | 'blog_posts:truncated'
    | 'published'
    | 'erp.parts:updated'
    | 'erp.stock:updated'
    | 'unkeyed:deleted'
    | 'users:updated'
  >();
});

describe('an event of a Drizzle table', () => {
  test("has Drizzle's property names and the types of its select", () => {
    expectTypeOf<EventOf<W, 'blog_posts:updated'>>().toEqualTypeOf<{
      readonly id: number;
      readonly authorId: number;
      readonly editorId: number | null;
      readonly state: 'draft' | 'published';
      readonly meta: { readonly views: number };
      readonly createdAt: Date;
    }>();
    expectTypeOf<EventOf<W, 'blog_posts:truncated'>>().toEqualTypeOf<{}>();
  });

  test('has the column that is marked as the primary key, whatever its name is', () => {
    expectTypeOf<EventOf<W, 'blog_posts:deleted'>>().toEqualTypeOf<{ readonly id: number }>();
    expectTypeOf<EventOf<W, 'erp.parts:updated'>>().toEqualTypeOf<{
      readonly partUid: string;
      readonly title: string;
    }>();
  });

  test('has the composite key that table() names', () => {
    expectTypeOf<EventOf<W, 'erp.stock:updated'>>().toEqualTypeOf<{
      readonly partUid: string;
      readonly place: number;
      readonly amount: number;
    }>();
  });

  test('has the key that table() names if none is marked', () => {
    expectTypeOf<EventOf<W, 'unkeyed:deleted'>>().toEqualTypeOf<{ readonly code: string }>();
  });

  test("has optional extra columns with absent: 'omit'", () => {
    expectTypeOf<EventOf<W, 'published'>>().toEqualTypeOf<{ readonly id: number; readonly authorId?: number }>();
    expectTypeOf<ContextOf<W, 'published'>['absent']>().toEqualTypeOf<readonly ('id' | 'authorId')[]>();
  });
});

test('a filter of a Drizzle table is an id or scalar properties', () => {
  expectTypeOf<FilterOf<W, 'blog_posts:updated'>>().toEqualTypeOf<
    | number
    | {
        readonly id?: number;
        readonly authorId?: number;
        readonly editorId?: number | null;
        readonly state?: 'draft' | 'published';
      }
  >();
  watch.subscribe('blog_posts:inserted', { authorId: 7 }, handler);
  // @ts-expect-error 'inserted' cannot be filtered by id
  watch.subscribe('blog_posts:inserted', 7, handler);
  // @ts-expect-error the column's name in the database
  watch.subscribe('blog_posts:inserted', { author_id: 7 }, handler);
});

test('a filter for a composite key of a Drizzle table names columns', () => {
  expectTypeOf<FilterOf<W, 'erp.stock:updated'>>().toEqualTypeOf<{
    readonly partUid?: string | number | bigint;
    readonly place?: number;
    readonly amount?: number;
  }>();
});

test('table() keeps the marked key, and maps columns with other names in the database', () => {
  const mapped = defineWatchers([[table(posts)({ columnMap: { authorId: 'writer' } }), 'deleted']]);
  expectTypeOf<EventOf<typeof mapped, 'blog_posts:deleted'>>().toEqualTypeOf<{ readonly id: number }>();
  // @ts-expect-error authorId
  table(posts)({ columnMap: { author_id: 'writer' } });
  // @ts-expect-error columnMap
  table(posts)({ primaryKey: 'id', columMap: { authorId: 'writer' } });
});

test('a table of pgTableCreator has the name that was passed to it', () => {
  const prefixed = pgTableCreator((name) => `app_${name}`)('users', { id: serial().primaryKey() });
  const named = defineWatchers([[prefixed, 'deleted']]);
  expectTypeOf<WatcherName<typeof named>>().toEqualTypeOf<'users:deleted'>();
});

describe('defineWatchers refuses', () => {
  test('a column by its name in the database', () => {
    // @ts-expect-error authorId
    defineWatchers([[posts, 'updated', { extraColumns: ['author_id'] }]]);
    // @ts-expect-error state
    defineWatchers([[posts, 'updated', { label: 'published', triggerColumns: ['post_state'] }]]);
  });

  test('a Drizzle table whose types show no key, until table() names it', () => {
    // @ts-expect-error its key is composite
    defineWatchers([[stock, 'updated']]);
    // @ts-expect-error no column is marked
    defineWatchers([[unkeyed, 'deleted']]);
    defineWatchers([[stockByKey, 'updated']]);
  });

  test('a key that the Drizzle table does not have', () => {
    // @ts-expect-error partUid
    table(stock)({ primaryKey: ['part_uid', 'place'] });
  });

  test('a Drizzle table and a name that mean the same watcher', () => {
    const users = pgTable('users', { id: serial('id').primaryKey() });
    defineWatchers<DB>()([
      // @ts-expect-error both are 'users:updated'
      [users, 'updated'],
      // @ts-expect-error both are 'users:updated'
      ['users', 'updated'],
    ]);
  });
});
