import { checkOwnTable } from '../postgres/own-tables.ts';
import type { ActiveSubscription } from '../routing/subscription.ts';
import type { ExistingStream } from './existing-stream.ts';
import type { SubscriptionReading } from './subscription-reading.ts';

/** Milliseconds between two checks. `walwatch existing restart` promises 10 seconds. */
const interval = 5000;

/**
 * Notices `walwatch existing restart` after everything was read: the stored state begins a new run. A reading in the middle notices
 * it when it stores its own run. Ends with the connection.
 */
export class Restarts {
  readonly #stream: ExistingStream;
  readonly #slot: string;
  readonly #readings: ReadonlyMap<ActiveSubscription, SubscriptionReading>;
  readonly #timer: NodeJS.Timeout;
  #isChecking = false;

  constructor(stream: ExistingStream, slot: string, readings: ReadonlyMap<ActiveSubscription, SubscriptionReading>) {
    this.#stream = stream;
    this.#slot = slot;
    this.#readings = readings;
    this.#timer = setInterval(() => void this.#check(), interval).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    const done = [...this.#readings.values()].filter(({ progress }) => progress.state === 'done');
    if (this.#isChecking || done.length === 0) return;
    this.#isChecking = true;
    try {
      const begun = await this.#begun();
      for (const reading of done)
        if (begun.has(reading.subscription.name) && reading.progress.state === 'done' && !this.#stream.closed)
          void reading.read(this.#stream);
    } catch {
      // The next check may succeed.
    } finally {
      this.#isChecking = false;
    }
  }

  /** The subscriptions of which a table is not done. */
  async #begun(): Promise<ReadonlySet<string>> {
    const { rows } = await this.#stream.use(async (client) => {
      await checkOwnTable(client, 'existing');
      return client.query<{ subscription: string }>(
        `select e.subscription from walwatch.existing e
         where e.slot operator(pg_catalog.=) $1 and e.state operator(pg_catalog.<>) 'done'`,
        [this.#slot],
      );
    });
    return new Set(rows.map(({ subscription }) => subscription));
  }
}
