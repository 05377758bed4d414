import type {
  ChangeOf,
  ClientIn,
  DeadLetters,
  DeliveryContext,
  DeliveryOptions,
  HandlerOf,
  LogicalMessage,
  EventsOptions,
  ExistingOptions,
  ExistingRows,
  SlotSubscribeOptions,
  SubscribeOptions,
  Subscription,
  SubscriptionOf,
  Transaction,
} from './delivery.ts';
import type { SlotWatchEventMap, SlotWatchStatus, WatcherDetails, WatchEventMap, WatchStatus } from './events.ts';
import type { MapOf } from './inference.ts';
import type { FilterOf, NamesIn, WatcherName, WatcherNames } from './lookup.ts';
import type { ExistingNeeds, Options } from './options.ts';
import type { Watchers } from './watchers.ts';

/** What all watches share. Application code takes a `Watch<typeof watchers>` and does not care where its events come from. */
export interface Watch<W extends Watchers = Watchers> extends AsyncDisposable {
  /** Calls `handler` for all rows, or those that match `filter`: an id, or values of primary-key or extra columns.
   *  At any time; a subscription hears what is read after it, so make those that may miss nothing before `start()`.
   *  The same handler twice is two subscriptions.
   *  @throws ConfigurationError at an unknown watcher or filter column; WatchError `STOPPED`.
   *  @example
   *  ```ts
   *  watch.subscribe('users:updated', { role_id: 7 }, async (event, context) => cache.delete(event.id));
   *  // A row stream: changes of a record come in commit order, whatever their type.
   *  watch.subscribe(['users:inserted', 'users:deleted'], async ({ type, event }) => count(type, event.id));
   *  ``` */
  subscribe<
    const N extends (keyof MapOf<W> & string) | readonly [keyof MapOf<W> & string, ...(keyof MapOf<W> & string)[]],
    const O extends SubscribeOptions = {},
  >(
    watcher: N,
    handler: HandlerOf<W, NoInfer<N>, NoInfer<O>>,
    options?: Options<O, SubscribeOptions>,
  ): Subscription;
  /** Only for rows that match `filter`. */
  subscribe<
    const N extends (keyof MapOf<W> & string) | readonly [keyof MapOf<W> & string, ...(keyof MapOf<W> & string)[]],
    const O extends SubscribeOptions = {},
  >(
    watcher: N,
    filter: FilterOf<W, N>,
    handler: HandlerOf<W, NoInfer<N>, NoInfer<O>>,
    options?: Options<O, SubscribeOptions>,
  ): Subscription;
  /** Mirrors `subscribe`: ends every subscription of this watcher, filter and handler. Returns whether there was one. */
  unsubscribe<const N extends WatcherNames<W>>(watcher: N, handler: (...args: any) => unknown): boolean;
  /** Only those that were made with this filter. */
  unsubscribe<const N extends WatcherNames<W>>(
    watcher: N,
    filter: FilterOf<W, N>,
    handler: (...args: any) => unknown,
  ): boolean;
  /** The same as an async iterator. Subscribed by this call; an event is done when the loop asks for the next or ends.
   *  Leaving the loop or aborting ends it normally; the end of the watch by an error throws it.
   *  @example
   *  ```ts
   *  for await (const { event, context } of watch.events('users:inserted')) await welcome(event.id);
   *  ``` */
  events<const N extends WatcherNames<W>>(
    watcher: N,
    options?: { readonly signal: AbortSignal },
  ): AsyncIterableIterator<ChangeOf<W, NamesIn<W, N>>>;
  /** Only for rows that match `filter`. */
  events<const N extends WatcherNames<W>>(
    watcher: N,
    filter: FilterOf<W, N>,
    options?: { readonly signal: AbortSignal },
  ): AsyncIterableIterator<ChangeOf<W, NamesIn<W, N>>>;
  /** What a watcher is; facts of the database are undefined before `start()`. */
  details(watcher: WatcherName<W>): WatcherDetails;
  /** Snapshot; cheap, never throws. */
  status(): WatchStatus;
  /** Observes the watch itself; a listener is never waited for, and what it throws is logged. Returns the function that removes it.
   *  An `error` without a listener never crashes the process.
   *  @throws ConfigurationError when there is no such event */
  on<E extends keyof WatchEventMap>(event: E, listener: (value: WatchEventMap[E]) => void): () => void;
  /** Resolves once streaming, or when `stop()` was called before that; rejects with what ended the watch before it could stream
   *  (lost connections are retried, not rejected). A second call returns the same promise. After `stop()` it rejects with
   *  `STOPPED`: make a new watch. */
  start(): Promise<void>;
  /** Reads no more, lets running handlers finish (up to `stopTimeout`, then aborts their signals), acknowledges, closes. Idempotent, never rejects. */
  stop(): Promise<void>;
  /** Resolved after `stop()`, rejected with the error that ended the watch. Never an unhandled rejection: an error that nobody
   *  awaits, listens for or logs is given to `process.emitWarning`, and `process.exitCode` becomes 1 if nobody awaits it here or at
   *  the `start()` that failed. */
  readonly closed: Promise<void>;
}

/** The watch that owns the slot. */
export interface SlotWatch<W extends Watchers = Watchers> extends Watch<W> {
  /** Like `Watch.subscribe`, and with the option `existing` also delivers the rows that are in the tables already.
   *  @example
   *  ```ts
   *  const search = watch.subscribe(['orders:inserted', 'orders:updated', 'orders:deleted'], index, { name: 'search', existing: 'v1' });
   *  await watch.start();
   *  await search.existing.done; // every row that was there is handled
   *  ``` */
  subscribe<
    const N extends (keyof MapOf<W> & string) | readonly [keyof MapOf<W> & string, ...(keyof MapOf<W> & string)[]],
    const O extends SlotSubscribeOptions = {},
  >(
    watcher: N,
    handler: HandlerOf<W, NoInfer<N>, NoInfer<O>>,
    options?: Options<O, SlotSubscribeOptions> & ExistingNeeds<W, N, O>,
  ): SubscriptionOf<O>;
  /** Only for rows that match `filter`. */
  subscribe<
    const N extends (keyof MapOf<W> & string) | readonly [keyof MapOf<W> & string, ...(keyof MapOf<W> & string)[]],
    const O extends SlotSubscribeOptions = {},
  >(
    watcher: N,
    filter: FilterOf<W, N>,
    handler: HandlerOf<W, NoInfer<N>, NoInfer<O>>,
    options?: Options<O, SlotSubscribeOptions> & ExistingNeeds<W, N, O>,
  ): SubscriptionOf<O>;
  /** Like `Watch.events`; with `existing`, which needs a `name`, the iterator also yields the rows that are in the tables already. */
  events<const N extends WatcherNames<W>, const O extends EventsOptions = {}>(
    watcher: N,
    options?: O & ExistingNeeds<W, N, O>,
  ): ChangesOf<W, N, O>;
  /** Only for rows that match `filter`. */
  events<const N extends WatcherNames<W>, const O extends EventsOptions = {}>(
    watcher: N,
    filter: FilterOf<W, N>,
    options?: O & ExistingNeeds<W, N, O>,
  ): ChangesOf<W, N, O>;
  /** All watched changes of a transaction at once, one transaction after the other. Acknowledged like events. The handler is
   *  called at the first of them; larger transactions than `highWaterMark` can be read only once, so that a failure in
   *  the middle of one ends the watch: it comes again after a restart.
   *  @example
   *  ```ts
   *  watch.onTransaction(async (transaction, { commitLsn }) => {
   *    for (const { watcher, event } of await transaction.toArray()) console.log(commitLsn, watcher, event);
   *  });
   *  ``` */
  onTransaction<const O extends DeliveryOptions = {}>(
    handler: (transaction: Transaction<W>, context: DeliveryContext & ClientIn<O>) => unknown,
    options?: Options<O, DeliveryOptions>,
  ): Subscription;
  /** Messages of `pg_logical_emit_message(…, prefix, …)` with exactly this prefix, in order with the changes, acknowledged like events.
   *  @example
   *  ```ts
   *  watch.onMessage('outbox', async ({ content }, { eventId }) => publish(eventId, content.toString()));
   *  ``` */
  onMessage<const O extends DeliveryOptions = {}>(
    prefix: string,
    handler: (message: LogicalMessage, context: DeliveryContext & ClientIn<O>) => unknown,
    options?: Options<O, DeliveryOptions>,
  ): Subscription;
  /** Resolves when all that was committed before the call has been handled: for tests, and for a graceful hand-over. Waits as long as
   *  handlers are tried again, and until the watch is streaming. Not to be awaited in a handler, which would wait for itself.
   *  @throws the signal's reason; WatchError when the watch ends first
   *  @example
   *  ```ts
   *  await pool.query("update users set name = 'Ada' where id = 42");
   *  await watch.caughtUp({ signal: AbortSignal.timeout(5000) });
   *  ``` */
  caughtUp(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** For probes: `live` is false only when a restart would help, `ready` while streaming or standing by. Never throws.
   *  @example
   *  ```ts
   *  const { ready, reasons } = watch.health();
   *  response.writeHead(ready ? 200 : 503).end(reasons.join('\n'));
   *  ``` */
  health(): { readonly live: boolean; readonly ready: boolean; readonly reasons: readonly string[] };
  /** Events that their handlers could not handle, with `onError: { attempts, then: 'deadLetter' }`.
   *  @example
   *  ```ts
   *  for await (const letter of watch.deadLetters.list({ subscription: 'mailer' })) console.log(letter.error);
   *  await watch.deadLetters.replay({ subscription: 'mailer' });
   *  ``` */
  readonly deadLetters: DeadLetters;
  status(): SlotWatchStatus;
  on<E extends keyof SlotWatchEventMap>(event: E, listener: (value: SlotWatchEventMap[E]) => void): () => void;
}

/** What `events()` of a watch that owns its slot returns. */
export type ChangesOf<W extends Watchers, N extends WatcherNames<W>, O> = AsyncIterableIterator<
  ChangeOf<W, NamesIn<W, N>>
> &
  (O extends { readonly existing: string | ExistingOptions } ? { readonly existing: ExistingRows } : unknown);
