/** A Fastify server with an in-memory cache that follows the database. */
import fastify from 'fastify';
import { Pool } from 'pg';
import { interrupted, openDatabase } from '../database.ts';
import { watchPlugin } from './plugin.ts';
import { products } from './products.ts';
import { tables, watchers } from './watchers.ts';

await using database = await openDatabase(tables);
const pool = new Pool({ connectionString: database.url });

const app = fastify({ logger: { level: 'warn' } });
app.addHook('onClose', () => pool.end()); // hooks run in reverse order: the watch, registered next, stops first
// Every instance has its own cache, so every instance needs all events: each has a slot that ends with it.
await app.register(watchPlugin, { connection: database.url, slot: { temporary: true }, watchers });
await app.register(async (scope) => products(scope, pool));

const address = await app.listen({ port: Number(process.env['PORT'] ?? 3000), host: '127.0.0.1' });
console.log(`listening on ${address}`);
try {
  await Promise.race([app.watch.closed, interrupted]);
} finally {
  await app.close();
}
