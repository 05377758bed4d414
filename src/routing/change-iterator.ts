import type { Change } from '../types/delivery.ts';
import type { ActiveSubscription, Handler } from './subscription.ts';

/**
 * A subscription as an async iterator. Its events wait in the subscription's lane until the loop asks, so nothing
 * piles up here; the one that was handed out is done when the loop asks for the next or ends.
 */
export class ChangeIterator implements AsyncIterableIterator<Change> {
  readonly #subscription: ActiveSubscription;
  #finish: (() => void) | undefined;
  #waiting: { resolve(result: IteratorResult<Change>): void; reject(error: unknown): void }[] = [];
  #ended = false;
  #error: unknown;

  /** `ended` settles with the watch. */
  constructor(subscribe: (handler: Handler) => ActiveSubscription, ended: Promise<void>) {
    this.#subscription = subscribe((event, context) => this.#arrive({ watcher: context.watcher, event, context }));
    this.#subscription.paused = true;
    const { onEnd } = this.#subscription;
    this.#subscription.onEnd = () => {
      onEnd?.();
      this.#end(undefined);
    };
    if (!this.#subscription.active) this.#ended = true;
    ended.then(
      () => this.#end(undefined),
      (error: unknown) => this.#end(error),
    );
  }

  next(): Promise<IteratorResult<Change>> {
    this.#done();
    if (this.#ended) {
      const error = this.#error;
      this.#error = undefined; // thrown once, then it is over
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#ask();
    });
  }

  return(): Promise<IteratorResult<Change>> {
    this.#done();
    this.#subscription.unsubscribe();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #ask(): void {
    this.#subscription.paused = false;
    this.#subscription.lane?.run();
  }

  #arrive(change: Change): Promise<void> | undefined {
    const asked = this.#waiting.shift();
    if (this.#waiting.length > 0) {
      // The next one was asked for already.
      asked?.resolve({ done: false, value: change });
      return undefined;
    }
    this.#subscription.paused = true;
    return new Promise((resolve) => {
      this.#finish = resolve;
      asked?.resolve({ done: false, value: change });
    });
  }

  #done(): void {
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.();
  }

  #end(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const [first, ...others] = this.#waiting.splice(0);
    if (first && error !== undefined) {
      this.#error = undefined;
      first.reject(error);
    } else first?.resolve({ done: true, value: undefined });
    for (const one of others) one.resolve({ done: true, value: undefined });
  }
}
