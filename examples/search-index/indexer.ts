import { setTimeout } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { BookChange } from './watchers.ts';

interface Book {
  readonly id: number;
  readonly title: string;
  readonly summary: string;
}

/** Writes books into the search service. */
export class Indexer {
  readonly #pool: Pool;
  readonly #serviceUrl: string;

  constructor(pool: Pool, serviceUrl: string) {
    this.#pool = pool;
    this.#serviceUrl = serviceUrl;
  }

  /** The handler of the row stream. Changes of one book arrive in commit order, one after the other, whatever their type. */
  readonly apply = async (change: BookChange): Promise<void> => {
    const { commitLsn, signal } = change.context;
    const version = versionOf(commitLsn);
    if (change.type === 'truncated') return this.#send('DELETE', '/documents', version, signal);
    if (change.type === 'deleted') return this.#remove(change.event.id, version, signal);
    const oldId = change.context.previous.id;
    if (oldId !== undefined && oldId !== change.event.id) await this.#remove(oldId, version, signal);
    await this.#put(change.event, version, signal);
  };

  /** Indexes the rows that are in the table now. Call it when the watch streams: every later change arrives as an event. */
  async fill(signal: AbortSignal): Promise<number> {
    await this.#earlierTransactionsHaveEnded(signal);
    let after = 0;
    for (let count = 0; ;) {
      const { rows } = await this.#pool.query<Book>(
        'select id, title, summary from example.books where id > $1 order by id limit 1000',
        [after],
      );
      // Version 0 is older than every event, so a row never replaces what an event has already written or deleted.
      for (const book of rows) await this.#put(book, 0n, signal);
      count += rows.length;
      if (rows.length === 0) return count;
      after = rows.at(-1)!.id;
    }
  }

  /**
   * A transaction that wrote before the table was published sends no events for that, and its rows are invisible until it
   * commits. So wait for every transaction that may have written before this call.
   */
  async #earlierTransactionsHaveEnded(signal: AbortSignal): Promise<void> {
    const { rows } = await this.#pool.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    const isOver = 'select pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 as over';
    while (!(await this.#pool.query<{ over: boolean }>(isOver, [rows[0]!.xid])).rows[0]!.over)
      await setTimeout(100, undefined, { signal });
  }

  async #put({ id, title, summary }: Book, version: bigint, signal: AbortSignal): Promise<void> {
    await this.#send('PUT', `/documents/${id}`, version, signal, { text: `${title} ${summary}` });
  }

  async #remove(id: number, version: bigint, signal: AbortSignal): Promise<void> {
    await this.#send('DELETE', `/documents/${id}`, version, signal);
  }

  async #send(method: string, path: string, version: bigint, signal: AbortSignal, body?: object): Promise<void> {
    const response = await fetch(`${this.#serviceUrl}${path}?version=${version}`, {
      method,
      signal,
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    await response.body?.cancel();
    // 409: the service has a newer version of the document. This happens while filling, and after a crash.
    if (!response.ok && response.status !== 409) throw new Error(`${method} ${path}: ${response.status}`);
    console.log(response.ok ? method : 'outdated', path);
  }
}

/** A position as a number that grows with every commit: `16/B374D848` → 0x16B374D848. */
function versionOf(lsn: string): bigint {
  const [high, low] = lsn.split('/') as [string, string];
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
