import type { CapturedMessage } from '../changes/message.ts';
import { MessageDelivery } from '../delivery/message.ts';
import type { ActiveSubscription, Registry } from './subscription.ts';

/** The subscriptions to logical messages, by prefix. */
export class MessageRoutes {
  readonly #byPrefix = new Map<string, readonly ActiveSubscription[]>();
  #count = 0;
  /** Called when the first subscription is made, whose messages the server may not have been asked for. */
  onWanted: (() => void) | undefined = undefined;

  get count(): number {
    return this.#count;
  }

  /** Whether anybody wants messages: if not, the server need not send them. */
  get wanted(): boolean {
    return this.#count > 0;
  }

  has(prefix: string): boolean {
    return this.#byPrefix.has(prefix);
  }

  /** Where subscriptions to messages with this prefix are registered. */
  registry(prefix: string): Registry {
    return {
      name: `message:${prefix}`,
      remove: (subscription) => {
        this.#count--;
        const rest = this.#of(prefix).filter((one) => one !== subscription);
        if (rest.length > 0) this.#byPrefix.set(prefix, rest);
        else this.#byPrefix.delete(prefix);
      },
    };
  }

  add(prefix: string, subscription: ActiveSubscription): void {
    this.#count++;
    this.#byPrefix.set(prefix, [...this.#of(prefix), subscription]);
    if (this.#count === 1) this.onWanted?.();
  }

  route(
    message: CapturedMessage,
    deliver: (subscription: ActiveSubscription, message: MessageDelivery, obstacle: undefined) => void,
  ): void {
    const delivery = new MessageDelivery(message);
    for (const subscription of this.#of(message.event.prefix)) deliver(subscription, delivery, undefined);
  }

  *subscriptions(): Iterable<ActiveSubscription> {
    for (const subscriptions of this.#byPrefix.values()) yield* subscriptions;
  }

  #of(prefix: string): readonly ActiveSubscription[] {
    return this.#byPrefix.get(prefix) ?? [];
  }
}
