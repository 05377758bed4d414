import type { BatchOptions, ErrorAction, OnError } from '../types/delivery.ts';
import type { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';

/** `SubscribeOptions` with the watch's defaults filled in. Subscriptions without options share one object. */
export interface DeliverySettings {
  readonly name: string | undefined;
  readonly onError: OnError;
  readonly timeout: number | undefined;
  readonly concurrency: number;
  readonly transaction: boolean;
  readonly batch: Required<BatchOptions> | undefined;
  /** Handlers start in order and may overlap even for one record, because they keep the order themselves. */
  readonly pipelined?: boolean;
}

/** A subscription, as delivery sees it. */
export interface Recipient {
  readonly name: string;
  /** A watcher's name; or `message:` with a prefix, or with the name of an outbox message. */
  readonly watcher: string;
  readonly handler: (event: any, context: any) => unknown;
  readonly settings: DeliverySettings;
  /** False when it has ended. */
  readonly active: boolean;
  /** An iterator whose consumer has not asked for the next event. */
  readonly paused: boolean;
  /** Exists while a delivery is unsettled. */
  lane: RecipientLane | undefined;
}

/** A subscription's `Lane`. */
export interface RecipientLane {
  /** The delivery that has waited longest. */
  readonly oldest: { readonly deliverable: Deliverable; attempt: number; error: unknown } | undefined;
  /** The number of unsettled deliveries. */
  readonly size: number;
  enqueue(deliverable: Deliverable, conditionError: ConditionError): void;
  adopt(deliverable: Deliverable, context: HandlerContext, result: PromiseLike<unknown>): void;
  adoptFailure(deliverable: Deliverable, context: HandlerContext, error: unknown): void;
  run(): void;
  drop(): number;
  abort(reason: unknown): void;
}

/** A reason why a subscription cannot handle something before its handler is called. Undefined: none. */
export type ConditionError = unknown;

/** A failed attempt, with the action that follows. */
export interface Failure {
  readonly recipient: Recipient;
  readonly eventId: string;
  readonly attempt: number;
  readonly error: unknown;
  readonly action: ErrorAction;
  readonly retryIn: number | undefined;
  /** The delivery that failed. */
  readonly deliverable?: Deliverable;
}

/** A delivery that becomes a dead letter. */
export interface Dead {
  readonly recipient: Recipient;
  readonly deliverable: Deliverable;
  readonly attempts: number;
  readonly error: unknown;
}
