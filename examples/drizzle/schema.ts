import { integer, pgSchema, text, timestamp } from 'drizzle-orm/pg-core';

const example = pgSchema('example');

export const posts = example.table('posts', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  authorId: integer('author_id').notNull(),
  title: text('title').notNull(),
  publishedAt: timestamp('published_at', { withTimezone: true }),
});

/** The SQL that drizzle-kit generates from the schema, and the replica identity that old values need. */
export const tables = `
  create table if not exists posts (
    id int generated always as identity primary key,
    author_id int not null, title text not null, published_at timestamptz
  );
  alter table posts replica identity full;`;
