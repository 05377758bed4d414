import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Failure, Recipient } from './recipient.ts';
import { isThenable } from './thenable.ts';
import { handlerChannel, traceHandler } from './tracing.ts';

/** Hears of the handlers of a watch. */
export interface HandlerObserver {
  /** An attempt is over. `done`: and the event with it. */
  attempted(recipient: Recipient, seconds: number, done: boolean): void;
  /** What follows on one that failed. */
  failed(failure: Failure): void;
}

/** Stands between dispatcher and handlers while somebody measures or traces them; otherwise only its `on` is looked at. */
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
      // One that was too late has failed, whatever became of it.
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
    // Asked for its result once: what looks like a promise may begin its work at each `then`.
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
