import type { Annotations, LogicalMessage } from '../types/delivery.ts';
import { noAnnotations } from './annotations.ts';
import type { Captured, LedgerTransaction } from './ledger.ts';

/** A logical message, between the decoder and the handlers. */
export class CapturedMessage implements Captured {
  readonly transaction: LedgerTransaction;
  readonly ordinal: number;
  /** Messages have their own numbers, so that they do not renumber changes. A message outside of transactions can have the same position as the commit record after it. */
  readonly eventId: string;
  readonly event: LogicalMessage;
  readonly bytes: number;
  readonly annotations: Annotations;
  holders = 0;

  constructor(
    transaction: LedgerTransaction,
    ordinal: number,
    number: number,
    message: LogicalMessage,
    bytes: number,
    annotations: Annotations = noAnnotations,
  ) {
    this.transaction = transaction;
    this.ordinal = ordinal;
    this.eventId = `${transaction.commitLsn}/${message.transactional ? 'm' : 'n'}${number}`;
    this.event = message;
    this.bytes = bytes;
    this.annotations = annotations;
  }
}
