import { Queue } from '../changes/queue.ts';
import { asChange } from '../delivery/as-change.ts';
import type { Change, ExistingRows } from '../types/delivery.ts';
import type { ActiveSubscription, Handler } from './subscription.ts';

interface Waiting {
  resolve(result: IteratorResult<Change>): void;
  reject(error: unknown): void;
}

/**
 * A subscription as an async iterator. Events wait in the subscription's lane until the loop asks for one, so none are
 * buffered here. An event is handled when the loop asks for the next one or ends.
 */
export class ChangeIterator implements AsyncIterableIterator<Change> {
  readonly #subscription: ActiveSubscription;
  readonly #onEnd: () => void;
  #finish: (() => void) | undefined;
  readonly #waiting = new Queue<Waiting>();
  #ended = false;
  #error: unknown;

  /** `ended` is called once, when the iterator ends, but not if it has already ended when it is created. */
  constructor(subscribe: (handler: Handler) => ActiveSubscription, ended: () => void) {
    this.#onEnd = ended;
    this.#subscription = subscribe((event, context) => this.#arrive(asChange(event, context)));
    this.#subscription.paused = true;
    const { onEnd } = this.#subscription;
    this.#subscription.onEnd = (dropped) => {
      onEnd?.(dropped);
      this.end(undefined);
    };
    if (!this.#subscription.active) this.#ended = true;
  }

  /** With the option `existing`. */
  get existing(): ExistingRows | undefined {
    return this.#subscription.existing;
  }

  get ended(): boolean {
    return this.#ended;
  }

  next(): Promise<IteratorResult<Change>> {
    this.#done();
    if (this.#ended) {
      const error = this.#error;
      this.#error = undefined; // thrown once; after that the iterator is done
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
      // The consumer has already asked for the next one.
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

  /** Ends the iterator: with an error that the loop throws, or without one. */
  end(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    this.#error = error;
    const [first, ...others] = this.#waiting.drain();
    if (first && error !== undefined) {
      this.#error = undefined;
      first.reject(error);
    } else first?.resolve({ done: true, value: undefined });
    for (const one of others) one.resolve({ done: true, value: undefined });
  }
}
