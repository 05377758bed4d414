import type { ActiveSubscription, Handler } from './subscription.ts';

/** So many are looked through for a handler each time; of more an index is made. */
const few = 16;

/** Subscriptions that the same changes concern, in the order in which they were made. Adding and ending one costs the same however many there are. */
export class SubscriptionList {
  #all: ActiveSubscription[] = [];
  /** How many of them have ended. They are taken out together: to take out one moves all that follow. */
  #ended = 0;
  #byHandler: Map<Handler, ActiveSubscription[]> | undefined;

  constructor(...subscriptions: readonly ActiveSubscription[]) {
    this.#all.push(...subscriptions);
  }

  get count(): number {
    return this.#all.length - this.#ended;
  }

  /** It only grows at its end, so whoever iterates over the first `length` of it is not disturbed by handlers that subscribe or end others. */
  get active(): readonly ActiveSubscription[] {
    if (this.#ended > 0) this.#sweep();
    return this.#all;
  }

  add(subscription: ActiveSubscription): void {
    this.#all.push(subscription);
    if (this.#byHandler) addTo(this.#byHandler, subscription);
  }

  /** One of them is not active any more. */
  remove(): void {
    this.#ended++;
    if (this.#ended > this.count) this.#sweep(); // those that have ended are never kept for longer than as many others
  }

  withHandler(handler: Handler): readonly ActiveSubscription[] {
    return this.#candidates(handler).filter((one) => one.active && one.userHandler === handler);
  }

  #candidates(handler: Handler): readonly ActiveSubscription[] {
    if (this.#all.length <= few) return this.#all;
    if (!this.#byHandler) {
      this.#byHandler = new Map();
      for (const one of this.#all) if (one.active) addTo(this.#byHandler, one);
    }
    const there = this.#byHandler.get(handler);
    if (!there) return [];
    const active = there.filter((one) => one.active);
    this.#byHandler.set(handler, active); // those that have ended are looked through once
    return active;
  }

  #sweep(): void {
    this.#all = this.#all.filter(({ active }) => active);
    this.#ended = 0;
    this.#byHandler = undefined;
  }
}

function addTo(index: Map<Handler, ActiveSubscription[]>, subscription: ActiveSubscription): void {
  const there = index.get(subscription.userHandler);
  if (there) there.push(subscription);
  else index.set(subscription.userHandler, [subscription]);
}
