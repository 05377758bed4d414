import { parseOutboxMessage } from '../changes/outbox-message.ts';
import type { CapturedMessage } from '../changes/message.ts';
import { MessageDelivery, messageWatcher, OutboxDelivery } from '../delivery/message.ts';
import type { LogicalMessage } from '../types/delivery.ts';
import type { MessageDescriptor, OutboxMessage } from '../types/outbox.ts';
import { SubscriptionList } from './subscription-list.ts';
import type { ActiveSubscription, Registry } from './subscription.ts';

type Deliver = (subscription: ActiveSubscription, message: MessageDelivery, conditionError: undefined) => void;

/** The subscriptions to logical messages, by prefix. */
export class MessageRoutes {
  readonly #byPrefix = new Map<string, SubscriptionList>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  has(prefix: string): boolean {
    return this.#byPrefix.has(prefix);
  }

  /** Where a subscription to these messages is registered. */
  source(message: string | MessageDescriptor): MessageSource {
    return typeof message === 'string'
      ? new MessageSource(this, message, message)
      : new OutboxSource(this, message.prefix, message.name);
  }

  add(prefix: string, subscription: ActiveSubscription): void {
    this.#count++;
    const list = this.#byPrefix.get(prefix);
    if (list) list.add(subscription);
    else this.#byPrefix.set(prefix, new SubscriptionList(subscription));
  }

  remove(prefix: string): void {
    this.#count--;
    const list = this.#byPrefix.get(prefix)!;
    list.remove();
    if (list.count === 0) this.#byPrefix.delete(prefix);
  }

  route(message: CapturedMessage, deliver: Deliver): void {
    const all = this.#byPrefix.get(message.event.prefix)?.active;
    if (!all) return;
    let plain: MessageDelivery | undefined;
    let outbox: OutboxDelivery | undefined;
    for (let index = 0, count = all.length; index < count; index++) {
      const subscription = all[index]!;
      const { registry } = subscription;
      if (registry instanceof OutboxSource) deliver(subscription, (outbox ??= registry.deliveryOf(message)), undefined);
      else deliver(subscription, (plain ??= new MessageDelivery(message)), undefined);
    }
  }

  *subscriptions(): Iterable<ActiveSubscription> {
    for (const list of this.#byPrefix.values()) yield* list.active;
  }
}

/** Messages of one prefix, as they are. */
class MessageSource implements Registry {
  readonly name: string;
  readonly #routes: MessageRoutes;
  readonly #prefix: string;

  constructor(routes: MessageRoutes, prefix: string, name: string) {
    this.#routes = routes;
    this.#prefix = prefix;
    this.name = messageWatcher + name;
  }

  add(subscription: ActiveSubscription): void {
    this.#routes.add(this.#prefix, subscription);
  }

  remove(): void {
    this.#routes.remove(this.#prefix);
  }
}

/** Outbox messages of one name, with their values. */
class OutboxSource extends MessageSource {
  readonly #message: string;

  constructor(routes: MessageRoutes, prefix: string, message: string) {
    super(routes, prefix, message);
    this.#message = message;
  }

  deliveryOf(message: CapturedMessage): OutboxDelivery {
    return new OutboxDelivery(message, this.#message);
  }

  /** @throws WatchError `MESSAGE_INVALID` */
  read({ content }: LogicalMessage): OutboxMessage {
    return parseOutboxMessage(this.#message, content);
  }
}
