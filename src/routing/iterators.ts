import { ChangeIterator } from './change-iterator.ts';
import type { ActiveSubscription, Handler } from './subscription.ts';

/** The open iterators of a watch. They end with the watch. */
export class Iterators {
  readonly #open = new Set<ChangeIterator>();

  /** `over` settles when the watch ends. */
  constructor(over: Promise<void>) {
    over.then(
      () => this.#end(undefined),
      (error: unknown) => this.#end(error),
    );
  }

  get size(): number {
    return this.#open.size;
  }

  open(subscribe: (handler: Handler) => ActiveSubscription): ChangeIterator {
    const iterator = new ChangeIterator(subscribe, () => this.#open.delete(iterator));
    if (!iterator.ended) this.#open.add(iterator);
    return iterator;
  }

  #end(error: unknown): void {
    for (const iterator of this.#open) iterator.end(error);
  }
}
