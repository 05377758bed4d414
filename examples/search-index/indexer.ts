import type { Pool } from 'pg';
import type { DeliveryContext } from 'walwatch';

/** Writes books into the search service. Whatever it is called for, and however often, it writes what the row is now. */
export class Indexer {
  readonly #pool: Pool;
  readonly #serviceUrl: string;

  constructor(pool: Pool, serviceUrl: string) {
    this.#pool = pool;
    this.#serviceUrl = serviceUrl;
  }

  /** The handler of all three watchers: reads the row by its id, and writes or deletes its document. */
  readonly index = async (
    { id }: { readonly id: number },
    { commitLsn, signal }: Pick<DeliveryContext, 'commitLsn' | 'signal'>,
  ): Promise<void> => {
    const { rows } = await this.#pool.query<{ text: string }>(
      `select title || ' ' || summary as text from example.books where id = $1`,
      [id],
    );
    await this.#write(id, rows[0]?.text, versionOf(commitLsn), signal);
  };

  /** What was there before the slot. Version 0: any event is newer, also one that was faster than this. */
  async fill(signal: AbortSignal): Promise<number> {
    let after = 0;
    for (let count = 0; ;) {
      const { rows } = await this.#pool.query<{ id: number; text: string }>(
        `select id, title || ' ' || summary as text from example.books where id > $1 order by id limit 1000`,
        [after],
      );
      for (const { id, text } of rows) await this.#write(id, text, 0n, signal);
      count += rows.length;
      if (rows.length === 0) return count;
      after = rows.at(-1)!.id;
    }
  }

  async #write(id: number, text: string | undefined, version: bigint, signal: AbortSignal): Promise<void> {
    const response = await fetch(`${this.#serviceUrl}/documents/${id}?version=${version}`, {
      signal,
      ...(text === undefined
        ? { method: 'DELETE' }
        : { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }) }),
    });
    // 409: the service has something newer. The three watchers' handlers do not wait for each other.
    if (!response.ok && response.status !== 409) throw new Error(`document ${id}: ${response.status}`);
    console.log(response.ok ? (text === undefined ? 'deleted' : 'indexed') : 'outdated', id);
  }
}

/** A position as one number, which grows with every commit: `16/B374D848` → 0x16B374D848. */
function versionOf(lsn: string): bigint {
  const [high, low] = lsn.split('/') as [string, string];
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
