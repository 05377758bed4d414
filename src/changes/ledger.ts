import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { Budget } from './budget.ts';

/** A change as far as the ledger is concerned. */
export interface Held {
  readonly transaction: LedgerTransaction;
  readonly bytes: number;
  holders: number;
}

/** What was received and may be delivered: a change of a row, or a logical message. */
export interface Captured extends Held {
  /** Place among the changes of its transaction. */
  readonly ordinal: number;
  readonly eventId: string;
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
 * handlers have all settled: the only position that may be acknowledged.
 */
export class Ledger {
  readonly #budget: Budget;
  readonly #onAdvance: () => void;
  #open: LedgerTransaction[] = [];
  #head = 0;
  #confirmed: Lsn | undefined = undefined;
  /** A keepalive's position behind the last open transaction. */
  #idleLsn: Lsn | undefined = undefined;

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

  /** The first that is not handled. */
  get oldest(): LedgerTransaction | undefined {
    return this.#open[this.#head];
  }

  /** All that was committed before this position is handled: further than `confirmed`, up to the oldest commit that is not. */
  get handled(): Lsn | undefined {
    return this.oldest?.finalLsn ?? this.#confirmed;
  }

  /** Whether all that was received is handled. */
  get settled(): boolean {
    return this.#head === this.#open.length;
  }

  begin(
    begin: { readonly xid: number; readonly finalLsn: Lsn; readonly committedAt: number },
    shownLsn: Lsn = begin.finalLsn,
  ): LedgerTransaction {
    const transaction = new LedgerTransaction(begin, shownLsn);
    this.#open.push(transaction);
    this.#idleLsn = undefined;
    return transaction;
  }

  /** One more waits for the change to be handled. */
  hold(change: Held): void {
    if (change.holders++ > 0) return;
    change.transaction.pending++;
    this.#budget.add(change.bytes);
  }

  /** One less does; with the last of them the change is handled. */
  settle(change: Held): void {
    if (--change.holders > 0) return;
    const { transaction } = change;
    this.#budget.release(change.bytes);
    transaction.pending--;
    if (transaction.pending === 0 && transaction === this.#open[this.#head]) this.#advance();
  }

  commit(transaction: LedgerTransaction, endLsn: Lsn): void {
    transaction.endLsn = endLsn;
    if (transaction === this.#open[this.#head]) this.#advance();
  }

  /** A position outside of transactions that the server has reached without anything for us: settled by itself. */
  idle(lsn: Lsn): void {
    if (this.settled) this.#confirm(lsn);
    else if (this.#idleLsn === undefined || lsn > this.#idleLsn) this.#idleLsn = lsn;
  }

  /** Forgets what is open, because its positions belong to a history that the server does not continue. */
  forget(): void {
    this.#open = [];
    this.#head = 0;
    this.#confirmed = undefined;
    this.#idleLsn = undefined;
  }

  #advance(): void {
    let end: Lsn | undefined;
    for (;;) {
      const first = this.#open[this.#head];
      if (first === undefined || first.pending > 0 || first.endLsn === undefined) break;
      end = first.endLsn;
      this.#head++;
    }
    // Cut off what is done now and then, so that a queue that never runs empty does not grow.
    if (this.settled || this.#head > 1024) {
      this.#open = this.#open.slice(this.#head);
      this.#head = 0;
    }
    if (end === undefined) return;
    // After a reconnect a keepalive may be behind what was received before it.
    const idle = this.settled ? this.#idleLsn : undefined;
    this.#confirm(idle !== undefined && idle > end ? idle : end);
  }

  #confirm(lsn: Lsn): void {
    if (this.#confirmed !== undefined && lsn <= this.#confirmed) return;
    this.#confirmed = lsn;
    this.#onAdvance();
  }
}
