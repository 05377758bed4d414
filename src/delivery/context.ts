import type { Captured } from '../changes/ledger.ts';
import { type Position, positionOf } from './position.ts';
import type { DeliveryContext } from '../types/delivery.ts';

/** The second argument of a handler. What few handlers read is made when it is read. */
export class HandlerContext implements DeliveryContext {
  readonly eventId: string;
  readonly commitLsn: string;
  readonly xid: number;
  readonly committedAt: Date;
  readonly attempt: number;
  /** What it is done with when it is handled. */
  readonly #last: Captured;
  readonly #whole: HandlerContext | undefined;
  #abortion: AbortController | undefined;
  #whenCalled: (() => void) | undefined;

  /** `whole`: of the batch that this is a part of. `last`: of a batch, what it ends with. */
  constructor(captured: Captured, attempt: number, whole?: HandlerContext, last = captured) {
    const { eventId, transaction } = captured;
    this.#last = last;
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

  /** Where its subscription has come to once it is handled. */
  static position(context: HandlerContext): Position {
    return positionOf(context.#last);
  }
}
