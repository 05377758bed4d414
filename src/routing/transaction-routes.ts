import { WatchError } from '../errors.ts';
import type { Ledger, LedgerTransaction } from '../changes/ledger.ts';
import type { Occurrence } from '../delivery/occurrence.ts';
import { TransactionDelivery } from '../delivery/transaction.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { ActiveSubscription, Registry } from './subscription.ts';

export interface TransactionRoutesHost {
  readonly ledger: Pick<Ledger, 'hold' | 'settle'>;
  /** The maximum bytes of a transaction that are kept for further attempts. */
  readonly limit: number;
  deliver(subscription: ActiveSubscription, delivery: TransactionDelivery): void;
}

/** Subscriptions to whole transactions. Each receives a transaction's changes from the first watched one to the commit. */
export class TransactionRoutes implements Registry {
  readonly name = 'transactions';
  readonly #host: TransactionRoutesHost;
  /** The value: the position of the newest transaction when the subscription was added, if any. It starts with a later one. */
  readonly #subscriptions = new Map<ActiveSubscription, Lsn | undefined>();
  /** The newest transaction from which a change has arrived here. Changes waiting for visibility arrive later. */
  newest: LedgerTransaction | undefined;
  /** The deliveries of the current transaction. */
  readonly #open = new Map<ActiveSubscription, TransactionDelivery>();

  constructor(host: TransactionRoutesHost) {
    this.#host = host;
  }

  get count(): number {
    return this.#subscriptions.size;
  }

  /** Whether changes and the ends of transactions must be passed to this class. */
  get wanted(): boolean {
    return this.#subscriptions.size > 0 || this.#open.size > 0;
  }

  subscriptions(): Iterable<ActiveSubscription> {
    return this.#subscriptions.keys();
  }

  add(subscription: ActiveSubscription): void {
    this.#subscriptions.set(subscription, this.newest?.finalLsn);
  }

  /** A handler that is reading a transaction still receives the rest of it. */
  remove(subscription: ActiveSubscription): void {
    this.#subscriptions.delete(subscription);
  }

  /** Adds a watched change. `error`: the error its condition threw. */
  collect(occurrence: Occurrence, error: unknown): void {
    const { transaction } = occurrence.change;
    for (const [subscription, after] of this.#subscriptions) {
      if (this.#open.has(subscription) || (after !== undefined && transaction.finalLsn <= after)) continue;
      const delivery = new TransactionDelivery(transaction, this.#host.ledger, this.#host.limit);
      this.#open.set(subscription, delivery);
      this.#host.deliver(subscription, delivery);
    }
    for (const delivery of this.#open.values()) {
      if (error === undefined) delivery.push(occurrence);
      else delivery.fail(error);
    }
  }

  /** All changes of the current transaction have arrived. */
  commit(): void {
    for (const delivery of this.#open.values()) delivery.end();
    this.#open.clear();
  }

  /** The rest of the current transaction will not arrive. */
  cancel(error: unknown): void {
    for (const delivery of this.#open.values()) delivery.cancel(error);
    this.#open.clear();
  }

  /** The server does not continue where it stopped, so earlier positions have become invalid. */
  forget(): void {
    this.cancel(
      new WatchError('CONNECTION', 'the server does not continue the interrupted transaction', {
        solution: 'No action is needed: committed transactions are delivered again from their start.',
      }),
    );
    this.newest = undefined;
    for (const subscription of this.#subscriptions.keys()) this.#subscriptions.set(subscription, undefined);
  }
}
