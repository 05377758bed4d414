/** Keeps a search engine in step with a table. */
import { Pool } from 'pg';
import { createWatch } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { Indexer } from './indexer.ts';
import { tables } from './schema.ts';
import { searchService } from './search-service.ts';
import { watchers } from './watchers.ts';

await using database = await openDatabase(tables);
const pool = new Pool({ connectionString: database.url });

const service = searchService();
const serviceUrl = await service.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) });
const indexer = new Indexer(pool, serviceUrl);

const watch = createWatch({ connection: database.url, slot: 'example_search', watchers });
watch.subscribe(
  ['example.books:inserted', 'example.books:updated', 'example.books:deleted', 'example.books:truncated'],
  indexer.apply,
  { name: 'search', concurrency: 8, timeout: 10_000 },
);

// First the stream, then the existing rows. In the opposite order, changes made in between would be missed.
// This service keeps its index in memory, so it is filled at every start. A service with a disk is filled once, and after a gap.
const filling = new AbortController();
void interrupted.then(() => filling.abort());
const filled = watch.start().then(async () => console.log('filled with', await indexer.fill(filling.signal)));

console.log(`listening on ${serviceUrl}`);
await Promise.race([watch.closed, interrupted, filled.then(() => watch.closed)]); // an error of `filled` ends the program
await watch.stop();
await service.close();
await pool.end();
