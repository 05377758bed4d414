import type { Ledger, LedgerTransaction } from '../delivery/ledger.ts';
import type { Occurrence } from '../delivery/occurrence.ts';
import { TransactionDelivery } from '../delivery/transaction.ts';
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
  /** With the transaction in whose middle it was made, if any: it begins with the next one. */
  readonly #subscriptions = new Map<ActiveSubscription, LedgerTransaction | undefined>();
  /** What they are being handed of the current transaction. */
  readonly #open = new Map<ActiveSubscription, TransactionDelivery>();
  /** Of the last change. */
  current: LedgerTransaction | undefined;

  constructor(host: TransactionRoutesHost) {
    this.#host = host;
  }

  get count(): number {
    return this.#subscriptions.size;
  }

  subscriptions(): Iterable<ActiveSubscription> {
    return this.#subscriptions.keys();
  }

  add(subscription: ActiveSubscription): void {
    this.#subscriptions.set(subscription, this.current);
  }

  remove(subscription: ActiveSubscription): void {
    this.#subscriptions.delete(subscription);
    this.#open.delete(subscription);
  }

  /** A change that is watched. `error`: what its condition threw. */
  collect(occurrence: Occurrence, error: unknown): void {
    const { transaction } = occurrence.change;
    for (const [subscription, begun] of this.#subscriptions) {
      if (begun === transaction) continue;
      let delivery = this.#open.get(subscription);
      if (!delivery) {
        delivery = new TransactionDelivery(transaction, this.#host.ledger, this.#host.limit);
        this.#open.set(subscription, delivery);
        this.#host.deliver(subscription, delivery);
      }
      if (error === undefined) delivery.push(occurrence);
      else delivery.fail(error);
    }
  }

  /** All changes of the current transaction have come. */
  commit(): void {
    for (const delivery of this.#open.values()) delivery.end();
    this.#open.clear();
    this.current = undefined;
  }

  /** The rest of the current transaction will not come: the server does not go on where it was. */
  abandon(): void {
    for (const delivery of this.#open.values()) delivery.abandon();
    this.#open.clear();
    this.current = undefined;
  }
}
