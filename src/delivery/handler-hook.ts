import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Failure, Recipient } from './recipient.ts';
import { isThenable } from './thenable.ts';
import { handlerChannel, traceHandler } from './tracing.ts';

/** Is informed about each attempt of a watch's handlers. */
export interface HandlerObserver {
  /** An attempt has finished. `done`: the event is handled. */
  attempted(recipient: Recipient, seconds: number, done: boolean): void;
  /** An attempt has failed, with the action that follows. */
  failed(failure: Failure): void;
}

/** Calls the handlers while metrics or tracing observe them. Otherwise the dispatcher only reads `on`. */
export class HandlerHook {
  readonly #slot: string;
  readonly #observers: HandlerObserver[] = [];

  constructor(slot: string) {
    this.#slot = slot;
  }

  get on(): boolean {
    return this.#observers.length > 0 || handlerChannel.hasSubscribers;
  }

  add(observer: HandlerObserver): void {
    this.#observers.push(observer);
  }

  failed(failure: Failure): void {
    for (const observer of this.#observers) observer.failed(failure);
  }

  call(recipient: Recipient, deliverable: Deliverable, context: HandlerContext): unknown {
    const began = performance.now();
    const over = (succeeded: boolean) => {
      const seconds = (performance.now() - began) / 1000;
      // An attempt that timed out has failed, even if the handler succeeded later.
      const done = succeeded && !HandlerContext.isAborted(context);
      for (const observer of this.#observers) observer.attempted(recipient, seconds, done);
    };
    let result: unknown;
    try {
      result = this.#call(recipient, deliverable, context);
    } catch (error) {
      over(false);
      throw error;
    }
    if (!isThenable(result)) {
      over(true);
      return result;
    }
    // Call `then` only once: a custom thenable may start its work at each call.
    return Promise.resolve(result).then(
      () => over(true),
      (error: unknown) => {
        over(false);
        throw error;
      },
    );
  }

  #call(recipient: Recipient, deliverable: Deliverable, context: HandlerContext): unknown {
    const { event } = deliverable;
    if (!handlerChannel.hasSubscribers) return recipient.handler(event, context);
    const { watcher, name: subscription } = recipient;
    return traceHandler({ slot: this.#slot, watcher, subscription, event, context, pending: false }, () =>
      recipient.handler(event, context),
    );
  }
}
