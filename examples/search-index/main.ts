/** Keeps a search engine in step with a table. */
import { createWatch } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { Indexer } from './indexer.ts';
import { tables } from './schema.ts';
import { searchService } from './search-service.ts';
import { watchers } from './watchers.ts';

await using database = await openDatabase(tables);

const service = searchService();
const serviceUrl = await service.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) });
const indexer = new Indexer(serviceUrl);

const watch = createWatch({ connection: database.url, slot: 'example_search', watchers });
const subscription = watch.subscribe(
  ['example.books:inserted', 'example.books:updated', 'example.books:deleted', 'example.books:truncated'],
  indexer.apply,
  // The service keeps its index in memory, so each start is a new version and reads all rows. A service with a disk has
  // existing: 'v1', which is read once.
  { name: 'search', existing: new Date().toISOString(), concurrency: 8, timeout: 10_000 },
);
const { existing } = subscription;
void watch.start();
existing.done.then(
  () => console.log('filled with', existing.rows),
  () => {}, // the watch ended before
);

console.log(`listening on ${serviceUrl}`);
await Promise.race([watch.closed, interrupted]);
await watch.stop();
await service.close();
