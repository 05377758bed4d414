import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { Budget, Counted } from './budget.ts';

/** A change as far as the ledger is concerned. */
export interface Held extends Counted {
  readonly transaction: LedgerTransaction;
}

/** What was received and may be delivered: a change of a row, or a logical message. */
export interface Captured extends Held {
  /** Place among the changes of its transaction. */
  readonly ordinal: number;
  readonly eventId: string;
  /** It was read from its table, so the stream does not wait for it. */
  readonly existing?: boolean;
}

/** A transaction from its first change until it is acknowledged. */
export class LedgerTransaction {
  readonly xid: number;
  /** Position of the commit record. */
  readonly finalLsn: Lsn;
  readonly commitLsn: string;
  readonly committedAt: Date;
  /** Changes whose handlers have not all settled. */
  pending = 0;
  /** Position right after the commit record; undefined until that was received. */
  endLsn: Lsn | undefined = undefined;
  /** The ledger's: its neighbours among the open transactions, and whether it is one of them. */
  previous: LedgerTransaction | undefined = undefined;
  next: LedgerTransaction | undefined = undefined;
  open = true;
  /** All between it and this position is handled: transactions that are closed, and keepalives. */
  through: Lsn | undefined = undefined;

  /** `shownLsn`: what users see as its position. */
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
 * Knows which transactions are handled. `confirmed` is the end of the last transaction of the longest prefix whose
 * handlers have all settled: the only position that may be acknowledged. Only open transactions are kept. One that is
 * handled leaves its end to the open one before it, so that an event that is retried for hours costs nothing for each
 * transaction behind it.
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

  /** All before this position is handled. Undefined: nothing was received yet. */
  get confirmed(): Lsn | undefined {
    return this.#confirmed;
  }

  /** Whether what is held leaves no memory for more. */
  get full(): boolean {
    return this.#budget.full;
  }

  /** Whether what others than the holder of these bytes hold leaves no memory for more. */
  isFullBesides(bytes: number): boolean {
    return this.#budget.isFullBesides(bytes);
  }

  /** The first that is not handled. */
  get oldest(): LedgerTransaction | undefined {
    return this.#oldest;
  }

  /** How many transactions are open: not received whole, or not handled. */
  get size(): number {
    return this.#size;
  }

  /** All that was committed before this position is handled: further than `confirmed`, up to the oldest commit that is not. */
  get handled(): Lsn | undefined {
    return this.#oldest?.finalLsn ?? this.#confirmed;
  }

  /** Whether all that was received is handled. */
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

  /** One more waits for the change to be handled. */
  hold(change: Held): void {
    if (this.#budget.hold(change)) change.transaction.pending++;
  }

  /** One less does; with the last of them the change is handled. */
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

  /** A position outside of transactions that the server has reached without anything for us: handled by itself. */
  idle(lsn: Lsn): void {
    if (this.#newest === undefined) this.#confirm(lsn);
    else this.#newest.through = later(this.#newest.through, lsn);
  }

  /** Forgets what is open, because its positions belong to a history that the server does not continue. */
  forget(): void {
    for (let one = this.#oldest; one !== undefined; one = this.#remove(one));
    this.#confirmed = undefined;
  }

  #closeIfHandled(transaction: LedgerTransaction): void {
    const { open, pending, endLsn } = transaction;
    if (!open || pending > 0 || endLsn === undefined) return;
    // After a reconnect a keepalive may be behind what was received before it.
    const end = later(transaction.through, endLsn);
    const { previous } = transaction;
    this.#remove(transaction);
    if (previous === undefined) this.#confirm(end);
    else previous.through = later(previous.through, end);
  }

  /** Returns the one after it. */
  #remove(transaction: LedgerTransaction): LedgerTransaction | undefined {
    const { previous, next } = transaction;
    if (previous === undefined) this.#oldest = next;
    else previous.next = next;
    if (next === undefined) this.#newest = previous;
    else next.previous = previous;
    transaction.open = false;
    transaction.previous = transaction.next = undefined; // whoever keeps it must not keep the others
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
