import type { LogicalMessage } from '../types/delivery.ts';
import type { Captured, LedgerTransaction } from './ledger.ts';

/** A logical message on its way from the decoder to the handlers. */
export class CapturedMessage implements Captured {
  readonly transaction: LedgerTransaction;
  readonly ordinal: number;
  /** Messages are counted apart, so that they do not renumber changes; one outside of transactions may share its position with the commit record after it. */
  readonly eventId: string;
  readonly event: LogicalMessage;
  readonly bytes: number;
  holders = 0;

  constructor(transaction: LedgerTransaction, ordinal: number, number: number, message: LogicalMessage, bytes: number) {
    this.transaction = transaction;
    this.ordinal = ordinal;
    this.eventId = `${transaction.commitLsn}/${message.transactional ? 'm' : 'n'}${number}`;
    this.event = message;
    this.bytes = bytes;
  }
}
