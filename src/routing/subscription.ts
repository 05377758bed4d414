import type { InTransaction } from '../delivery/exactly-once.ts';
import type { DeliverySettings, Recipient, RecipientLane } from '../delivery/recipient.ts';
import type { Replayed } from '../delivery/dead-letters.ts';
import type { BatchContext, EventContext, LogicalMessage, Subscription, ExistingRows } from '../types/delivery.ts';
import type { Scalar } from './keys.ts';

/** An id, values by column, or undefined for all rows. */
export type Filter = Scalar | Readonly<Record<string, Scalar>> | undefined;

export type Handler = (event: any, context: any) => unknown;

/** The place where a subscription is registered. */
export interface Registry {
  readonly name: string;
  remove(subscription: ActiveSubscription): void;
  /** What handlers get of a message. Undefined: the message as it is stored in dead letters. */
  read?(message: LogicalMessage): unknown;
}

/** A registered handler. There may be a million, so it holds little data, and gets a lane only when something is delivered. */
export class ActiveSubscription implements Subscription, Recipient {
  readonly registry: Registry;
  readonly filter: Filter;
  readonly userHandler: Handler;
  /** The function to call: the user's handler, or a wrapper around it. */
  readonly handler: Handler;
  readonly settings: DeliverySettings;
  /** With `transaction`: calls the user's handler, over its own session. */
  readonly exactlyOnce: InTransaction | undefined;
  lane: RecipientLane | undefined = undefined;
  /** Called once, when the subscription ends. `dropped`: the number of changes that waited for its handler. */
  onEnd: ((dropped: number) => void) | undefined = undefined;
  active = true;
  /** The number of changes routed when it was added: it receives only later ones. */
  madeAt = 0;
  paused = false;
  /** With the option `existing`. */
  existing: ExistingRows | undefined = undefined;

  constructor(
    registry: Registry,
    filter: Filter,
    handler: Handler,
    settings: DeliverySettings,
    called: Handler = handler,
    exactlyOnce?: InTransaction,
  ) {
    this.registry = registry;
    this.filter = filter;
    this.userHandler = handler;
    this.settings = settings;
    this.exactlyOnce = exactlyOnce;
    this.handler = exactlyOnce ? (event, context) => exactlyOnce.handle(event, context) : called;
  }

  get watcher(): string {
    return this.registry.name;
  }

  get name(): string {
    if (this.settings.name !== undefined) return this.settings.name;
    return this.filter === undefined ? this.registry.name : `${this.registry.name} ${describeFilter(this.filter)}`;
  }

  /** Calls the handler with a dead letter, regardless of the subscription's position. */
  replayed(): Replayed {
    const { exactlyOnce, handler, registry } = this;
    const { timeout, batch } = this.settings;
    const call = (event: unknown, context: { readonly signal: AbortSignal }) =>
      exactlyOnce ? exactlyOnce.handleAgain(event, context) : handler(event, context);
    const handle: Replayed['handle'] = async (stored, context) => {
      const event = registry.read ? registry.read(stored as LogicalMessage) : stored;
      await (batch ? call([event], batchOfOne(context)) : call(event, context));
    };
    return { timeout, handle };
  }

  unsubscribe(): void {
    if (!this.active) return;
    this.active = false;
    this.registry.remove(this);
    const dropped = this.lane?.drop() ?? 0;
    this.onEnd?.(dropped);
  }

  [Symbol.dispose](): void {
    this.unsubscribe();
  }
}

function batchOfOne(context: { readonly signal: AbortSignal }): BatchContext {
  const { watcher, attempt, signal } = context as EventContext;
  return { watcher, attempt, signal, contexts: [context as EventContext] };
}

function describeFilter(filter: Exclude<Filter, undefined>): string {
  return JSON.stringify(filter, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}
