import type { Captured, LedgerTransaction } from './ledger.ts';

/** The end of a transaction on its way from the decoder; and in the ledger what stands for one that is handled as a whole. */
export class CapturedCommit implements Captured {
  readonly transaction: LedgerTransaction;
  readonly ordinal = 0;
  readonly bytes: number;
  holders = 0;

  /** `bytes`: what it takes in memory while it waits to become visible. */
  constructor(transaction: LedgerTransaction, bytes = 0) {
    this.transaction = transaction;
    this.bytes = bytes;
  }

  get eventId(): string {
    return this.transaction.commitLsn;
  }
}
