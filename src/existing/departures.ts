import type { CapturedChange } from '../changes/change.ts';
import type { Held, Ledger } from '../changes/ledger.ts';
import type { Logger } from '../types/logger.ts';
import { noteMissed } from './absence.ts';
import type { ExistingStream } from './existing-stream.ts';
import type { Splices } from './splices.ts';
import type { StateKey } from './state.ts';

/** A table, with its OID, of a subscription that has ended. */
export interface Left extends Pick<StateKey, 'subscription' | 'table'> {
  readonly oid: number;
}

/** Milliseconds before it is tried again. */
const pause = 1000;

/**
 * Subscriptions that ended before their watch. The first change of a table that such a subscription misses makes its stored state
 * out of date. This is noted in the state before the change is acknowledged, so that the next worker with the subscription reads the
 * rows again.
 */
export class Departures {
  readonly #splices: Splices;
  readonly #ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly #slot: string;
  readonly #log: Logger;
  readonly #departures = new Set<Departure>();
  #stream: ExistingStream | undefined;

  constructor(splices: Splices, ledger: Pick<Ledger, 'hold' | 'settle'>, slot: string, log: Logger) {
    this.#splices = splices;
    this.#ledger = ledger;
    this.#slot = slot;
    this.#log = log;
  }

  /** `missed`: changes that waited for its handler were dropped. */
  add(left: Left, missed: boolean): void {
    const departure = new Departure(left, this.#ledger, () => this.#note(departure));
    this.#departures.add(departure);
    if (missed) departure.miss();
    else this.#splices.add(left.oid, departure);
  }

  /** The subscription is there again: it reads its rows again in any case. */
  returned(subscription: string): void {
    for (const one of this.#departures) if (one.left.subscription === subscription) this.#remove(one);
  }

  get all(): readonly Departure[] {
    return [...this.#departures];
  }

  /** That these are absent is noted already, before the next connection streams. */
  forget(departures: readonly Departure[]): void {
    for (const one of departures) this.#remove(one);
  }

  connected(stream: ExistingStream): void {
    this.#stream = stream;
    for (const one of this.#departures) if (one.hasMissed) this.#note(one);
  }

  /** Resolves when all that was missed is noted, or the connection has ended. */
  async noted(): Promise<void> {
    await Promise.all(Array.from(this.#departures, ({ noting = Promise.resolve() }) => noting));
  }

  /** Without a connection it is noted beside the next one. */
  #note(departure: Departure): void {
    if (this.#stream) departure.noting = this.#noteBeside(this.#stream, departure);
  }

  async #noteBeside(stream: ExistingStream, departure: Departure): Promise<void> {
    while (this.#departures.has(departure)) {
      try {
        await stream.use((client) => noteMissed(client, this.#slot, departure.left));
        this.#remove(departure);
      } catch (err) {
        if (stream.closed) return;
        const { subscription, table } = departure.left;
        this.#log.warn(
          { err, subscription, table },
          'the slot waits: walwatch cannot note that the subscription has missed a change',
        );
        await stream.wait(pause);
      }
    }
  }

  #remove(departure: Departure): void {
    this.#departures.delete(departure);
    this.#splices.remove(departure.left.oid, departure);
    departure.settle();
  }
}

/** One table of one of these subscriptions. */
export class Departure {
  readonly left: Left;
  noting: Promise<void> | undefined;
  hasMissed = false;
  readonly #ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly #missed: () => void;
  #held: Held | undefined;

  constructor(left: Left, ledger: Pick<Ledger, 'hold' | 'settle'>, missed: () => void) {
    this.left = left;
    this.#ledger = ledger;
    this.#missed = missed;
  }

  /** A change of the table passes. */
  before({ transaction }: CapturedChange): void {
    if (this.#held) return;
    this.#held = { transaction, bytes: 0, holders: 0 };
    this.#ledger.hold(this.#held);
    this.miss();
  }

  miss(): void {
    this.hasMissed = true;
    this.#missed();
  }

  /** The change may be acknowledged. */
  settle(): void {
    if (this.#held) this.#ledger.settle(this.#held);
    this.#held = undefined;
  }
}
