/** Several queries in one round trip, because walwatch's sessions are pipelined. */
import type { Client } from 'pg';
import { beginOwn, searchPath } from './session.ts';

/**
 * Begins a session and reads, in one round trip. The session's search path is known only afterwards. So the reads, a single
 * statement each, run in a transaction that sets its own.
 *
 * @throws WatchError UNSUPPORTED like beginOwn; otherwise the error of the first read that fails
 */
export async function readTogether<T extends readonly Promise<unknown>[] | []>(
  client: Client,
  read: () => T,
): Promise<Results<T>> {
  const begun = [
    beginOwn(client),
    client.query(`begin isolation level read committed; set local search_path = ${searchPath}`),
  ];
  const reads = read();
  await inOrder([...begun, ...reads, client.query('commit')]);
  return inOrder(reads);
}

type Results<T extends readonly unknown[]> = { -readonly [K in keyof T]: Awaited<T[K]> };

/** Waits for all. Returns the results, or throws the error of the first one in the list that failed, even if a later one failed earlier. */
export async function inOrder<T extends readonly unknown[] | []>(promises: T): Promise<Results<T>> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
