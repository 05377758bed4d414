import { checkOwnTable } from '../postgres/own-tables.ts';
import type { ExistingStream } from './existing-stream.ts';

/** Milliseconds between two looks. `walwatch existing restart` promises 10 seconds. */
const interval = 5000;

/** Looks for tables that `walwatch existing restart` marked to be read again. Ends with the connection. */
export class Restarts {
  readonly #stream: ExistingStream;
  readonly #slot: string;
  readonly #found: (subscription: string) => void;
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  constructor(stream: ExistingStream, slot: string, found: (subscription: string) => void) {
    this.#stream = stream;
    this.#slot = slot;
    this.#found = found;
    this.#timer = setInterval(() => void this.#look(), interval).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const { rows } = await this.#stream.use(async (client) => {
        await checkOwnTable(client, 'existing');
        return client.query<{ subscription: string }>(query, [this.#slot]);
      });
      if (!this.#stream.closed) for (const { subscription } of rows) this.#found(subscription);
    } catch {
      // The next look may succeed. Until a subscription has stored its state, there is no table.
    } finally {
      this.#looking = false;
    }
  }
}

const query = `
  select distinct e.subscription from walwatch.existing e
  where e.slot operator(pg_catalog.=) $1 and e.state operator(pg_catalog.=) 'restart'`;
