import type { Annotations } from '../types/delivery.ts';
import { noAnnotations } from './annotations.ts';
import type { Captured, LedgerTransaction } from './ledger.ts';

/** The end of a transaction, between the decoder and the handlers. For a transaction that is handled as a whole, the ledger holds this. */
export class CapturedCommit implements Captured {
  readonly transaction: LedgerTransaction;
  readonly ordinal = 0;
  readonly bytes: number;
  annotations: Annotations = noAnnotations;
  holders = 0;

  /** `bytes`: memory that it takes until it is visible. */
  constructor(transaction: LedgerTransaction, bytes = 0) {
    this.transaction = transaction;
    this.bytes = bytes;
  }

  get eventId(): string {
    return this.transaction.commitLsn;
  }
}
