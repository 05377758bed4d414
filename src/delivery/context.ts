import type { Captured } from './ledger.ts';
import type { DeliveryContext } from './types.ts';

/** The second argument of a handler. What few handlers read is made when it is read. */
export class HandlerContext implements DeliveryContext {
  readonly eventId: string;
  readonly commitLsn: string;
  readonly xid: number;
  readonly committedAt: Date;
  readonly attempt: number;
  #abortion: AbortController | undefined;

  constructor({ eventId, transaction }: Captured, attempt: number) {
    this.eventId = eventId;
    this.commitLsn = transaction.commitLsn;
    this.xid = transaction.xid;
    this.committedAt = transaction.committedAt;
    this.attempt = attempt;
  }

  get signal(): AbortSignal {
    return (this.#abortion ??= new AbortController()).signal;
  }

  /** Aborts the signal of a context. Not a method, because contexts are the user's to hold. */
  static abort(context: HandlerContext, reason: unknown): void {
    (context.#abortion ??= new AbortController()).abort(reason);
  }
}
