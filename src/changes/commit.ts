import type { Captured, LedgerTransaction } from './ledger.ts';

/** What it takes in memory, roughly, while it waits for its transaction to become visible or to be handled as a whole. */
const size = 256;

/** The end of a transaction on its way from the decoder; and in the ledger what stands for one that is handled as a whole. */
export class CapturedCommit implements Captured {
  readonly transaction: LedgerTransaction;
  readonly ordinal = 0;
  readonly bytes = size;
  holders = 0;

  constructor(transaction: LedgerTransaction) {
    this.transaction = transaction;
  }

  get eventId(): string {
    return this.transaction.commitLsn;
  }
}
