import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Captured, LedgerTransaction } from '../changes/ledger.ts';
import type { Letter } from './letter.ts';
import type { LogicalMessage } from '../types/delivery.ts';

const oneRecord = [''] as const;

/** A logical message on its way from the decoder to the handlers. */
export class CapturedMessage implements Captured, Deliverable {
  readonly transaction: LedgerTransaction;
  readonly ordinal: number;
  /** Messages are counted apart, so that they do not renumber changes; one outside of transactions may share its position with the commit record after it. */
  readonly eventId: string;
  readonly event: LogicalMessage;
  readonly bytes: number;
  readonly records = oneRecord;
  holders = 0;

  constructor(transaction: LedgerTransaction, ordinal: number, number: number, message: LogicalMessage, bytes: number) {
    this.transaction = transaction;
    this.ordinal = ordinal;
    this.eventId = `${transaction.commitLsn}/${message.transactional ? 'm' : 'n'}${number}`;
    this.event = message;
    this.bytes = bytes;
  }

  get change(): this {
    return this;
  }

  letter(): Letter {
    const { transaction, event } = this;
    const { commitLsn, xid, committedAt } = transaction;
    return {
      watcher: `message:${event.prefix}`,
      event: {
        prefix: event.prefix,
        content: event.content.toString('hex'),
        transactional: String(event.transactional),
      },
      context: { commitLsn, xid, committedAt: committedAt.toISOString() },
    };
  }

  context(attempt: number): HandlerContext {
    return new HandlerContext(this, attempt);
  }
}

/** A message as it was before it became a letter. */
export function messageOf(event: Letter['event']): LogicalMessage {
  return {
    prefix: event['prefix'] ?? '',
    content: Buffer.from(event['content'] ?? '', 'hex'),
    transactional: event['transactional'] === 'true',
  };
}
