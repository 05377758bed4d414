import { WatchError } from '../errors.ts';
import type { Ledger, LedgerTransaction } from '../changes/ledger.ts';
import type { Occurrence } from '../delivery/occurrence.ts';
import { TransactionDelivery } from '../delivery/transaction.ts';
import type { Lsn } from '../postgres/lsn.ts';
import type { ActiveSubscription, Registry } from './subscription.ts';

export interface TransactionRoutesHost {
  readonly ledger: Pick<Ledger, 'hold' | 'settle'>;
  /** Bytes of a transaction that are kept for further attempts. */
  readonly limit: number;
  deliver(subscription: ActiveSubscription, delivery: TransactionDelivery): void;
}

/** The subscriptions to whole transactions: each gets the changes of one from the first that is watched to the commit. */
export class TransactionRoutes implements Registry {
  readonly name = 'transactions';
  readonly #host: TransactionRoutesHost;
  /** With the position of the transaction that had come last when it was made, if any: it begins with the next one. */
  readonly #subscriptions = new Map<ActiveSubscription, Lsn | undefined>();
  /** The last transaction of which anything has come here. What waits to become visible comes later. */
  newest: LedgerTransaction | undefined;
  /** What they are being handed of the current transaction. */
  readonly #open = new Map<ActiveSubscription, TransactionDelivery>();

  constructor(host: TransactionRoutesHost) {
    this.#host = host;
  }

  get count(): number {
    return this.#subscriptions.size;
  }

  /** Whether anybody is to hear of changes, and of where transactions end. */
  get wanted(): boolean {
    return this.#subscriptions.size > 0 || this.#open.size > 0;
  }

  subscriptions(): Iterable<ActiveSubscription> {
    return this.#subscriptions.keys();
  }

  add(subscription: ActiveSubscription): void {
    this.#subscriptions.set(subscription, this.newest?.finalLsn);
  }

  /** A handler that is in the middle of a transaction still gets the rest of it. */
  remove(subscription: ActiveSubscription): void {
    this.#subscriptions.delete(subscription);
  }

  /** A change that is watched. `error`: what its condition threw. */
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

  /** All changes of the current transaction have come. */
  commit(): void {
    for (const delivery of this.#open.values()) delivery.end();
    this.#open.clear();
  }

  /** The rest of the current transaction will not come. */
  abandon(error: unknown): void {
    for (const delivery of this.#open.values()) delivery.abandon(error);
    this.#open.clear();
  }

  /** The server does not go on where it was: positions so far say nothing about those that follow. */
  forget(): void {
    this.abandon(
      new WatchError('CONNECTION', 'the server does not go on where the transaction broke off', {
        solution: 'Nothing: what was committed comes again, whole.',
      }),
    );
    this.newest = undefined;
    for (const subscription of this.#subscriptions.keys()) this.#subscriptions.set(subscription, undefined);
  }
}
