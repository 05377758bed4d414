import type { CapturedMessage } from '../changes/message.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Letter } from './letter.ts';
import type { LogicalMessage } from '../types/delivery.ts';

const oneRecord = [''] as const;
/** Bytes of content that a letter stores. As hexadecimal text they take twice as much. */
const longestContent = 25_000_000;

/** A logical message as it is delivered to subscriptions. */
export class MessageDelivery implements Deliverable {
  readonly change: CapturedMessage;
  readonly records = oneRecord;

  constructor(message: CapturedMessage) {
    this.change = message;
  }

  get event(): LogicalMessage {
    return this.change.event;
  }

  context(attempt: number): HandlerContext {
    return new HandlerContext(this.change, attempt);
  }

  letter(): Letter {
    const { transaction, event } = this.change;
    const { commitLsn, xid, committedAt } = transaction;
    const { prefix, content, transactional } = event;
    const isShort = content.length <= longestContent;
    return {
      watcher: `message:${prefix}`,
      event: {
        prefix,
        content: (isShort ? content : content.subarray(0, 500)).toString('hex'),
        transactional: String(transactional),
      },
      context: {
        commitLsn,
        xid,
        committedAt: committedAt.toISOString(),
        ...(!isShort && { shortened: { content: content.length } }),
      },
    };
  }
}

/** Restores a message from its dead letter. */
export function messageOf(event: Letter['event']): LogicalMessage {
  return {
    prefix: event['prefix'] ?? '',
    content: Buffer.from(event['content'] ?? '', 'hex'),
    transactional: event['transactional'] === 'true',
  };
}
