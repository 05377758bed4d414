import type { BookChange } from './watchers.ts';

interface Book {
  readonly id: number;
  readonly title: string;
  readonly summary: string;
}

/** Writes books into the search service. */
export class Indexer {
  readonly #serviceUrl: string;

  constructor(serviceUrl: string) {
    this.#serviceUrl = serviceUrl;
  }

  /**
   * The handler of the row stream. Changes of one book arrive in commit order, one after the other, whatever their type. The rows
   * from before the first start arrive between them, as inserts with the version 0: older than every change.
   */
  readonly apply = async (change: BookChange): Promise<void> => {
    const { commitLsn, signal } = change.context;
    const version = versionOf(commitLsn);
    if (change.type === 'truncated') return this.#send('DELETE', '/documents', version, signal);
    if (change.type === 'deleted') return this.#remove(change.event.id, version, signal);
    const oldId = change.context.previous.id;
    if (oldId !== undefined && oldId !== change.event.id) await this.#remove(oldId, version, signal);
    await this.#put(change.event, version, signal);
  };

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
    // 409: the service has a newer version of the document. This happens with existing rows, and after a crash.
    if (!response.ok && response.status !== 409) throw new Error(`${method} ${path}: ${response.status}`);
    console.log(response.ok ? method : 'outdated', path);
  }
}

/** A position as a number that grows with every commit: `16/B374D848` → 0x16B374D848. Existing rows have `0/0`. */
function versionOf(lsn: string): bigint {
  const [high, low] = lsn.split('/') as [string, string];
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
