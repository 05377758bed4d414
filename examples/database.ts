/** What every example but worker takes for granted: a database, and a signal that ends the program. */
import { startCluster } from '../test/support/cluster.ts';
import { inSession } from '../test/support/template.ts';

interface Database extends AsyncDisposable {
  readonly url: string;
}

/** `DATABASE_URL`, or else an embedded PostgreSQL of this program's own, which is gone when it ends. Makes `tables` in the schema `example`. */
export async function openDatabase(tables: string): Promise<Database> {
  const named = process.env['DATABASE_URL'];
  const database = named ? { url: named, [Symbol.asyncDispose]: async () => {} } : await startCluster();
  if (!named) console.log(`database: ${database.url}, an embedded PostgreSQL that ends with this program`);
  await inSession(database.url, (client) =>
    client.query(`create schema if not exists example; set search_path to example; ${tables}`),
  );
  return database;
}

/** Ctrl-C or SIGTERM. Both may come more than once: npm hands on the Ctrl-C that the terminal has already sent. */
export const interrupted = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
});
