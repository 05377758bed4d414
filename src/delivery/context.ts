import type { Lsn } from '../replication/lsn.ts';
import type { Captured } from './ledger.ts';
import type { DeliveryContext } from './types.ts';

/** The second argument of a handler. What few handlers read is made when it is read. */
export class HandlerContext implements DeliveryContext {
  readonly eventId: string;
  readonly commitLsn: string;
  readonly xid: number;
  readonly committedAt: Date;
  readonly attempt: number;
  readonly #captured: Captured;
  #abortion: AbortController | undefined;

  constructor(captured: Captured, attempt: number) {
    const { eventId, transaction } = captured;
    this.#captured = captured;
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

  static isAborted(context: HandlerContext): boolean {
    return context.#abortion?.signal.aborted === true;
  }

  /** Orders what one subscription is called with: the later, the greater. */
  static position(context: HandlerContext): { readonly lsn: Lsn; readonly ordinal: number } {
    const { transaction, eventId } = context.#captured;
    return { lsn: transaction.finalLsn, ordinal: Number(/\d+$/.exec(eventId)![0]) };
  }
}
