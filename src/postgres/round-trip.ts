/** Several queries in one round trip: sessions of ours are pipelined. */
import type { Client } from 'pg';
import { beginOwn, searchPath } from './session.ts';

/**
 * Begins a session and reads, all in one round trip. What search path the session has is known only afterwards, so the reads,
 * a single statement each, are made in a transaction that sets its own.
 *
 * @throws WatchError UNSUPPORTED as beginOwn does; else what the first of the reads fails with
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

/** Waits for all. Returns the results, or throws the failure of the first of those that fail, whichever was heard of first. */
export async function inOrder<T extends readonly unknown[] | []>(promises: T): Promise<Results<T>> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
