import type { BatchOptions, ErrorAction, OnError } from '../types/delivery.ts';
import type { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';

/** `SubscribeOptions` with the watch's defaults filled in. One object for all subscriptions that give none. */
export interface DeliverySettings {
  readonly name: string | undefined;
  readonly onError: OnError;
  readonly timeout: number | undefined;
  readonly concurrency: number;
  readonly transaction: boolean;
  readonly batch: Required<BatchOptions> | undefined;
  /** Handlers are begun in order, and may run at once even for one record: they keep the order themselves. */
  readonly pipelined?: boolean;
}

/** A subscription as far as delivery is concerned. */
export interface Recipient {
  readonly name: string;
  /** What it subscribed to: a watcher's name, or `message:prefix`. */
  readonly watcher: string;
  readonly handler: (event: any, context: any) => unknown;
  readonly settings: DeliverySettings;
  /** False once it has ended. */
  readonly active: boolean;
  /** Its events wait, because nobody has asked for the next one: an iterator. */
  readonly paused: boolean;
  /** There is one while something has not settled. */
  lane: RecipientLane | undefined;
}

/** The way to a subscription's handler: a `Lane`. */
export interface RecipientLane {
  /** What has waited longest. */
  readonly oldest: { readonly deliverable: Deliverable; attempt: number; error: unknown } | undefined;
  /** Deliveries that have not settled. */
  readonly size: number;
  enqueue(deliverable: Deliverable, obstacle: Obstacle): void;
  adopt(deliverable: Deliverable, context: HandlerContext, result: PromiseLike<unknown>): void;
  adoptFailure(deliverable: Deliverable, context: HandlerContext, error: unknown): void;
  run(): void;
  drop(): void;
  abort(reason: unknown): void;
}

/** Why something cannot be handled by a subscription before its handler is even called. Undefined: nothing. */
export type Obstacle = unknown;

/** An attempt failed, and what follows. */
export interface Failure {
  readonly recipient: Recipient;
  readonly eventId: string;
  readonly attempt: number;
  readonly error: unknown;
  readonly action: ErrorAction;
  readonly retryIn: number | undefined;
  /** What could not be handled. */
  readonly deliverable?: Deliverable;
}

/** What its handler could not handle, on its way to the dead letters. */
export interface Dead {
  readonly recipient: Recipient;
  readonly deliverable: Deliverable;
  readonly attempts: number;
  readonly error: unknown;
}
