/** Shared by all examples except `worker`: the database, and the signal that ends the program. */
import { startCluster } from '../test/support/cluster.ts';
import { inSession } from '../test/support/template.ts';

interface Database extends AsyncDisposable {
  readonly url: string;
}

/** Uses `DATABASE_URL`, or starts a temporary PostgreSQL that ends with the program. Creates `tables` in the schema `example`. */
export async function openDatabase(tables: string): Promise<Database> {
  const named = process.env['DATABASE_URL'];
  const database = named ? { url: named, [Symbol.asyncDispose]: async () => {} } : await startCluster();
  if (!named) console.log(`database: ${database.url}, a temporary PostgreSQL that ends with this program`);
  await inSession(database.url, (client) =>
    client.query(`create schema if not exists example; set search_path to example; ${tables}`),
  );
  return database;
}

/** Resolves on Ctrl-C or SIGTERM. A signal may arrive twice: npm forwards the Ctrl-C that the terminal has already sent. */
export const interrupted = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
});
