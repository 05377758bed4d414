import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { Annotations } from '../types/delivery.ts';
import type { Budget, Counted } from './budget.ts';

/** The part of a change that the ledger needs. */
export interface Held extends Counted {
  readonly transaction: LedgerTransaction;
}

/** A received change of a row, or a received logical message. */
export interface Captured extends Held {
  /** Number within its transaction. */
  readonly ordinal: number;
  readonly eventId: string;
  readonly annotations: Annotations;
  /** It was read from its table, so the stream does not wait for it. */
  readonly existing?: boolean;
}

/** A transaction, from its first change until it is acknowledged. */
export class LedgerTransaction {
  readonly xid: number;
  /** Position of the commit record. */
  readonly finalLsn: Lsn;
  readonly commitLsn: string;
  readonly committedAt: Date;
  /** Changes whose handlers have not all settled. */
  pending = 0;
  /** Position right after the commit record. Undefined until that was received. */
  endLsn: Lsn | undefined = undefined;
  /** Used by the ledger: the neighbours among the open transactions, and whether this one is open. */
  previous: LedgerTransaction | undefined = undefined;
  next: LedgerTransaction | undefined = undefined;
  open = true;
  /** Everything between it and this position is handled: closed transactions and keepalives. */
  through: Lsn | undefined = undefined;

  /** `shownLsn`: the position that users see. */
  constructor(
    begin: { readonly xid: number; readonly finalLsn: Lsn; readonly committedAt: number },
    shownLsn: Lsn = begin.finalLsn,
  ) {
    this.xid = begin.xid;
    this.finalLsn = begin.finalLsn;
    this.commitLsn = formatLsn(shownLsn);
    this.committedAt = new Date(begin.committedAt);
  }
}

/**
 * Knows which transactions are handled. `confirmed` is the end of the last transaction in the longest prefix whose handlers have all
 * settled: the only position that may be acknowledged. The ledger keeps only open transactions. A closed one passes its end to the
 * open one before it, so that an event that is retried for hours does not cost memory for each later transaction.
 */
export class Ledger {
  readonly #budget: Budget;
  readonly #onAdvance: () => void;
  #oldest: LedgerTransaction | undefined = undefined;
  #newest: LedgerTransaction | undefined = undefined;
  #size = 0;
  #confirmed: Lsn | undefined = undefined;

  constructor(budget: Budget, onAdvance: () => void) {
    this.#budget = budget;
    this.#onAdvance = onAdvance;
  }

  /** Everything before this position is handled. Undefined: nothing was received yet. */
  get confirmed(): Lsn | undefined {
    return this.#confirmed;
  }

  /** Whether the held changes leave no memory for more. */
  get full(): boolean {
    return this.#budget.full;
  }

  /** Whether the held changes would leave no memory for more even without these bytes. */
  isFullBesides(bytes: number): boolean {
    return this.#budget.isFullBesides(bytes);
  }

  /** The first transaction that is not handled. */
  get oldest(): LedgerTransaction | undefined {
    return this.#oldest;
  }

  /** Number of open transactions: not completely received, or not handled. */
  get size(): number {
    return this.#size;
  }

  /** Everything committed before this position is handled. It is further than `confirmed`: up to the oldest commit that is not handled. */
  get handled(): Lsn | undefined {
    return this.#oldest?.finalLsn ?? this.#confirmed;
  }

  /** Whether everything that was received is handled. */
  get settled(): boolean {
    return this.#oldest === undefined;
  }

  begin(
    begin: { readonly xid: number; readonly finalLsn: Lsn; readonly committedAt: number },
    shownLsn: Lsn = begin.finalLsn,
  ): LedgerTransaction {
    const transaction = new LedgerTransaction(begin, shownLsn);
    const before = this.#newest;
    transaction.previous = before;
    if (before === undefined) this.#oldest = transaction;
    else before.next = transaction;
    this.#newest = transaction;
    this.#size++;
    return transaction;
  }

  /** Adds a holder that waits for the change to be handled. */
  hold(change: Held): void {
    if (this.#budget.hold(change)) change.transaction.pending++;
  }

  /** Removes a holder. With the last one the change is handled. */
  settle(change: Held): void {
    if (!this.#budget.settle(change)) return;
    const { transaction } = change;
    transaction.pending--;
    this.#closeIfHandled(transaction);
  }

  commit(transaction: LedgerTransaction, endLsn: Lsn): void {
    transaction.endLsn = endLsn;
    this.#closeIfHandled(transaction);
  }

  /** The server has reached a position outside of transactions without anything to deliver. */
  idle(lsn: Lsn): void {
    if (this.#newest === undefined) this.#confirm(lsn);
    else this.#newest.through = later(this.#newest.through, lsn);
  }

  /** Forgets all open transactions, because the server does not continue the history that their positions belong to. */
  forget(): void {
    for (let one = this.#oldest; one !== undefined; one = this.#remove(one));
    this.#confirmed = undefined;
  }

  #closeIfHandled(transaction: LedgerTransaction): void {
    const { open, pending, endLsn } = transaction;
    if (!open || pending > 0 || endLsn === undefined) return;
    // After a reconnect, a keepalive can have an older position than earlier messages.
    const end = later(transaction.through, endLsn);
    const { previous } = transaction;
    this.#remove(transaction);
    if (previous === undefined) this.#confirm(end);
    else previous.through = later(previous.through, end);
  }

  /** Returns the transaction after it. */
  #remove(transaction: LedgerTransaction): LedgerTransaction | undefined {
    const { previous, next } = transaction;
    if (previous === undefined) this.#oldest = next;
    else previous.next = next;
    if (next === undefined) this.#newest = previous;
    else next.previous = previous;
    transaction.open = false;
    transaction.previous = transaction.next = undefined; // a reference to it must not keep the others alive
    this.#size--;
    return next;
  }

  #confirm(lsn: Lsn): void {
    if (this.#confirmed !== undefined && lsn <= this.#confirmed) return;
    this.#confirmed = lsn;
    this.#onAdvance();
  }
}

function later(one: Lsn | undefined, other: Lsn): Lsn {
  return one !== undefined && one > other ? one : other;
}
