import type { Captured } from '../changes/ledger.ts';
import type { Annotations, DeliveryContext } from '../types/delivery.ts';

/** The second argument of a handler. Properties that few handlers read are computed when they are read. */
export class HandlerContext implements DeliveryContext {
  readonly eventId: string;
  readonly commitLsn: string;
  readonly xid: number;
  readonly committedAt: Date;
  readonly attempt: number;
  readonly annotations: Annotations;
  readonly #change: Captured;
  readonly #whole: HandlerContext | undefined;
  #abortion: AbortController | undefined;
  #whenCalled: (() => void) | undefined;

  /** `whole`: the context of the batch or transaction that this one is part of. */
  constructor(captured: Captured, attempt: number, whole?: HandlerContext) {
    const { eventId, transaction, annotations } = captured;
    this.#change = captured;
    this.#whole = whole;
    this.eventId = eventId;
    this.commitLsn = transaction.commitLsn;
    this.xid = transaction.xid;
    this.committedAt = transaction.committedAt;
    this.attempt = attempt;
    this.annotations = annotations;
  }

  get signal(): AbortSignal {
    return this.#whole?.signal ?? (this.#abortion ??= new AbortController()).signal;
  }

  /** With `transaction`: `begin` is called when the user's handler is called. */
  static whenCalled(context: HandlerContext, begin: () => void): void {
    context.#whenCalled = begin;
  }

  /** The user's handler is being called. */
  static called(context: HandlerContext): void {
    context.#whenCalled?.();
  }

  /** More of a transaction has arrived. */
  static annotate(context: HandlerContext, annotations: Annotations): void {
    (context as { annotations: Annotations }).annotations = annotations;
  }

  /** Aborts a context's signal. Static, because users hold the contexts and must not see it. */
  static abort(context: HandlerContext, reason: unknown): void {
    (context.#abortion ??= new AbortController()).abort(reason);
  }

  static isAborted(context: HandlerContext): boolean {
    return context.#abortion?.signal.aborted === true;
  }

  /** The change, message or transaction that the handler is called for. */
  static change(context: HandlerContext): Captured {
    return context.#change;
  }
}
