import type { ExistingRows, SubscribeOptions, Subscription } from './delivery.ts';

/** Options of `subscribe` on a watch that owns its slot. */
export interface SlotSubscribeOptions extends SubscribeOptions {
  /** Also deliver the rows that are in the tables already, as changes of the `inserted` watchers with `context.existing`. A version is
   *  read once; a new version reads all rows again. Needs a `name`. */
  readonly existing?: string | ExistingOptions;
}

/** Options of `events` on a watch that owns its slot. */
export interface EventsOptions {
  readonly signal?: AbortSignal;
  /** Needed with `existing`. */
  readonly name?: string;
  readonly existing?: string | ExistingOptions;
}

/**
 * How existing rows are read.
 *
 * @example
 * ```ts
 * watch.subscribe(['orders:inserted', 'orders:updated', 'orders:deleted'], index, { name: 'search', existing: { version: 'v2', chunk: 500 } });
 * ```
 */
export interface ExistingOptions {
  /** Any text. The same version resumes, and does nothing once it is done. A new version reads all rows again. */
  readonly version: string;
  /** Maximum number of rows that are read at once. walwatch reads as many as take about 15 milliseconds, up to 3,000. */
  readonly chunk?: number;
  /** After changes were lost (`gap`): read all rows again (default), or not. */
  readonly afterGap?: 'read' | 'ignore';
}

/** A subscription with the option `existing`. */
export interface ExistingSubscription extends Subscription {
  readonly existing: ExistingRows;
}

/** What `subscribe` returns, given its options. */
export type SubscriptionOf<O> = O extends { readonly existing: string | ExistingOptions }
  ? ExistingSubscription
  : Subscription;
