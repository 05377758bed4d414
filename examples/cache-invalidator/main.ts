/** Purges the pages of an HTTP cache as soon as what they show has changed in the database. */
import { Pool } from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { cache } from './cache.ts';
import { origin } from './origin.ts';
import { type DB, tables } from './schema.ts';

await using database = await openDatabase(tables);

// The site: an application behind a cache.
const pool = new Pool({ connectionString: database.url });
const application = origin(pool);
const proxy = cache(await application.listen({ host: '127.0.0.1', port: 0 }));
const cacheUrl = await proxy.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) });

const watchers = defineWatchers<DB>()([
  ['example.articles', ['inserted', 'updated', 'deleted'], { extraColumns: ['author_id'] }],
]);

const watch = createWatch({ connection: database.url, slot: 'example_cache', watchers });

/** An unreachable cache makes the handler fail, and walwatch retries it, so no page stays stale. */
async function purge(path: string, signal: AbortSignal): Promise<void> {
  const response = await fetch(cacheUrl + path, { method: 'PURGE', signal });
  if (!response.ok && response.status !== 404) throw new Error(`PURGE ${path}: ${response.status}`);
  console.log('purged', path);
}

// Purging is idempotent, so a redelivered change does no harm.
watch.subscribe(
  ['example.articles:inserted', 'example.articles:updated', 'example.articles:deleted'],
  async ({ event, context: { previous, signal } }) => {
    await purge(`/articles/${event.id}`, signal);
    for (const author of new Set([event.author_id, previous.author_id ?? event.author_id])) {
      await purge(`/authors/${author}/articles`, signal);
    }
  },
  { name: 'purge', concurrency: 16, timeout: 5_000 },
);

watch.on('connected', () => console.log('watching'));
void watch.start(); // not awaited: the site also answers while this process is a standby or waits for the database
console.log(`listening on ${cacheUrl}`);
await Promise.race([watch.closed, interrupted]);
await watch.stop();
await proxy.close();
await application.close();
await pool.end();
