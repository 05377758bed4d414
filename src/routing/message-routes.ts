import type { CapturedMessage } from '../changes/message.ts';
import { MessageDelivery } from '../delivery/message.ts';
import { SubscriptionList } from './subscription-list.ts';
import type { ActiveSubscription, Registry } from './subscription.ts';

/** The subscriptions to logical messages, by prefix. */
export class MessageRoutes {
  readonly #byPrefix = new Map<string, SubscriptionList>();
  #count = 0;
  /** Called when the first subscription is added: the current stream may not include messages. */
  onWanted: (() => void) | undefined = undefined;

  get count(): number {
    return this.#count;
  }

  /** Whether any subscription wants messages; otherwise the server need not send them. */
  get wanted(): boolean {
    return this.#count > 0;
  }

  has(prefix: string): boolean {
    return this.#byPrefix.has(prefix);
  }

  /** The registry for subscriptions to messages with this prefix. */
  registry(prefix: string): Registry {
    return {
      name: `message:${prefix}`,
      remove: () => {
        this.#count--;
        const list = this.#byPrefix.get(prefix)!;
        list.remove();
        if (list.count === 0) this.#byPrefix.delete(prefix);
      },
    };
  }

  add(prefix: string, subscription: ActiveSubscription): void {
    this.#count++;
    const list = this.#byPrefix.get(prefix);
    if (list) list.add(subscription);
    else this.#byPrefix.set(prefix, new SubscriptionList(subscription));
    if (this.#count === 1) this.onWanted?.();
  }

  route(
    message: CapturedMessage,
    deliver: (subscription: ActiveSubscription, message: MessageDelivery, conditionError: undefined) => void,
  ): void {
    const all = this.#byPrefix.get(message.event.prefix)?.active;
    if (!all) return;
    const delivery = new MessageDelivery(message);
    for (let index = 0, count = all.length; index < count; index++) deliver(all[index]!, delivery, undefined);
  }

  *subscriptions(): Iterable<ActiveSubscription> {
    for (const list of this.#byPrefix.values()) yield* list.active;
  }
}
