import type { ActiveSubscription, Handler } from './subscription.ts';

/** Up to this number of subscriptions, all are searched for a handler; above it an index is built. */
const few = 16;

/** Subscriptions that receive the same changes, oldest first. Adding and ending one costs the same for any number. */
export class SubscriptionList {
  #all: ActiveSubscription[] = [];
  /** The number of ended ones. They are removed together, because removing one moves all that follow. */
  #ended = 0;
  #byHandler: Map<Handler, ActiveSubscription[]> | undefined;

  constructor(...subscriptions: readonly ActiveSubscription[]) {
    this.#all.push(...subscriptions);
  }

  get count(): number {
    return this.#all.length - this.#ended;
  }

  /** The array only grows at its end: an iteration over its first `length` entries is not disturbed by handlers that subscribe or end subscriptions. */
  get active(): readonly ActiveSubscription[] {
    if (this.#ended > 0) this.#sweep();
    return this.#all;
  }

  add(subscription: ActiveSubscription): void {
    this.#all.push(subscription);
    if (this.#byHandler) addTo(this.#byHandler, subscription);
  }

  /** One of the subscriptions has ended. */
  remove(): void {
    this.#ended++;
    if (this.#ended > this.count) this.#sweep(); // so at most half of the entries have ended
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
    this.#byHandler.set(handler, active); // drop ended ones, so they are visited once
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
