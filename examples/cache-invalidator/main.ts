/** Purges the pages of an HTTP cache as soon as what they show has changed in the database. */
import { Pool } from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { cache } from './cache.ts';
import { origin } from './origin.ts';
import { type DB, tables } from './schema.ts';

await using database = await openDatabase(tables);

// The site: an application and the cache before it.
const pool = new Pool({ connectionString: database.url });
const application = origin(pool);
const proxy = cache(await application.listen({ host: '127.0.0.1', port: 0 }));
const cacheUrl = await proxy.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) });

const watchers = defineWatchers<DB>()([
  ['example.articles', 'inserted', { extraColumns: ['author_id'] }],
  ['example.articles', 'updated', { extraColumns: ['author_id'] }],
  ['example.articles', 'deleted', { extraColumns: ['author_id'] }],
]);

const watch = createWatch({ connection: database.url, slot: 'example_cache', watchers });

/** A cache that can not be reached makes the handler fail: the event is tried again, so no page stays stale. */
async function purge(path: string, signal: AbortSignal): Promise<void> {
  const response = await fetch(cacheUrl + path, { method: 'PURGE', signal });
  if (!response.ok && response.status !== 404) throw new Error(`PURGE ${path}: ${response.status}`);
  console.log('purged', path);
}

interface Article {
  readonly id: number;
  readonly author_id: number;
}

/** Purging is idempotent, so an event that comes again does no harm, and many may run at once. */
async function purgePagesOf(
  { id, author_id }: Article,
  { previous, signal }: { readonly previous: Partial<Article>; readonly signal: AbortSignal },
): Promise<void> {
  await purge(`/articles/${id}`, signal);
  for (const author of new Set([author_id, previous.author_id ?? author_id])) {
    await purge(`/authors/${author}/articles`, signal);
  }
}

const options = { concurrency: 16, timeout: 5_000 };
watch.subscribe('example.articles:inserted', purgePagesOf, options);
watch.subscribe('example.articles:updated', purgePagesOf, options);
watch.subscribe('example.articles:deleted', purgePagesOf, options);

watch.on('connected', () => console.log('watching'));
void watch.start(); // not awaited: the site answers, whether this is the worker, its standby, or waits for the database
console.log(`listening on ${cacheUrl}`);
await Promise.race([watch.closed, interrupted]);
await watch.stop();
await proxy.close();
await application.close();
await pool.end();
