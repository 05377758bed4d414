/** Drizzle tables as watchers: events use Drizzle's property names and the values that Drizzle's `select` returns. */
import { eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { Pool } from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { posts, tables } from './schema.ts';

await using database = await openDatabase(tables);
const pool = new Pool({ connectionString: database.url });
const db = drizzle(pool);

const watchers = defineWatchers([
  [posts, 'inserted', { extraColumns: ['authorId'] }],
  [posts, 'updated', { label: 'post_published', triggerColumns: ['publishedAt'], extraColumns: ['publishedAt'] }],
  [posts, 'deleted', { extraColumns: ['authorId'] }],
]);

const watch = createWatch({ connection: database.url, slot: 'example_drizzle', watchers });

// An event has the primary key and the extra columns. Read the rest of the row when you need it: it is visible by then.
watch.subscribe('example.posts:inserted', async ({ id }) => {
  const [post] = await db.select().from(posts).where(eq(posts.id, id));
  console.log('inserted', id, post?.title ?? '(already deleted)');
});
watch.subscribe('post_published', ({ id, publishedAt }, { previous }) => {
  console.log('published', id, publishedAt?.toISOString(), 'was', previous.publishedAt);
});
watch.subscribe('example.posts:deleted', { authorId: 7 }, ({ id, authorId }) => {
  console.log('deleted', id, 'of author', authorId);
});

console.log('press Ctrl-C to stop');
// Awaited only because this program makes the changes itself. A server does not wait: see docs/how-to/deploy.md.
await Promise.race([watch.start(), interrupted]);

// Changes that another program would make.
const [post] = await db.insert(posts).values({ authorId: 7, title: 'On slots' }).returning();
await db.update(posts).set({ publishedAt: new Date() }).where(eq(posts.id, post!.id));

await Promise.race([watch.closed, interrupted]);
await watch.stop();
await pool.end();
