import type { Captured } from '../changes/ledger.ts';
import type { DeliveryContext } from '../types/delivery.ts';

/** The second argument of a handler. What few handlers read is made when it is read. */
export class HandlerContext implements DeliveryContext {
  readonly eventId: string;
  readonly commitLsn: string;
  readonly xid: number;
  readonly committedAt: Date;
  readonly attempt: number;
  readonly #change: Captured;
  readonly #whole: HandlerContext | undefined;
  #abortion: AbortController | undefined;
  #whenCalled: (() => void) | undefined;

  /** `whole`: of the batch that this is a part of. */
  constructor(captured: Captured, attempt: number, whole?: HandlerContext) {
    const { eventId, transaction } = captured;
    this.#change = captured;
    this.#whole = whole;
    this.eventId = eventId;
    this.commitLsn = transaction.commitLsn;
    this.xid = transaction.xid;
    this.committedAt = transaction.committedAt;
    this.attempt = attempt;
  }

  get signal(): AbortSignal {
    return this.#whole?.signal ?? (this.#abortion ??= new AbortController()).signal;
  }

  /** With `transaction`: `begin` is to be called once the handler itself is. */
  static whenCalled(context: HandlerContext, begin: () => void): void {
    context.#whenCalled = begin;
  }

  /** The user's handler is called now. */
  static called(context: HandlerContext): void {
    context.#whenCalled?.();
  }

  /** Aborts the signal of a context. Not a method, because contexts are the user's to hold. */
  static abort(context: HandlerContext, reason: unknown): void {
    (context.#abortion ??= new AbortController()).abort(reason);
  }

  static isAborted(context: HandlerContext): boolean {
    return context.#abortion?.signal.aborted === true;
  }

  /** What its handler is called for. */
  static change(context: HandlerContext): Captured {
    return context.#change;
  }
}
