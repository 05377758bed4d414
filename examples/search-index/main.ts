/** Keeps a search engine in step with a table. */
import { Pool } from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { Indexer } from './indexer.ts';
import { type DB, tables } from './schema.ts';
import { searchService } from './search-service.ts';

await using database = await openDatabase(tables);
const pool = new Pool({ connectionString: database.url });

const service = searchService();
const serviceUrl = await service.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) });
const indexer = new Indexer(pool, serviceUrl);

const watchers = defineWatchers<DB>()([
  ['example.books', 'inserted'],
  ['example.books', 'updated'],
  ['example.books', 'deleted'],
]);

const watch = createWatch({ connection: database.url, slot: 'example_search', watchers });
const options = { concurrency: 8, timeout: 10_000 };
watch.subscribe('example.books:inserted', indexer.index, options);
watch.subscribe('example.books:updated', indexer.index, options);
watch.subscribe('example.books:deleted', indexer.index, options);

// First the stream, then the rows that are there: the other way round, changes in between would be in neither.
// The service forgets when it ends, so this is done at every start. With a lasting one it is for the first start and for a gap.
const filling = new AbortController();
void interrupted.then(() => filling.abort());
const filled = watch.start().then(async () => console.log('filled with', await indexer.fill(filling.signal)));

console.log(`listening on ${serviceUrl}`);
await Promise.race([watch.closed, interrupted, filled.then(() => watch.closed)]); // `filled`: its errors end the program
await watch.stop();
await service.close();
await pool.end();
