import type {
  ChangeOf,
  ClientIn,
  DeadLetters,
  DeliveryContext,
  DeliveryOptions,
  HandlerOf,
  LogicalMessage,
  SubscribeOptions,
  Subscription,
  Transaction,
  ExistingRows,
} from './delivery.ts';
import type { EventsOptions, ExistingOptions, SlotSubscribeOptions, SubscriptionOf } from './existing.ts';
import type { SlotWatchEventMap, SlotWatchStatus, WatcherDetails, WatchEventMap, WatchStatus } from './events.ts';
import type { MapOf } from './inference.ts';
import type { FilterOf, NamesIn, WatcherName, WatcherNames } from './lookup.ts';
import type { MessageHandlerOf, MessageOptions } from './messages.ts';
import type { ExistingNeeds, Options } from './options.ts';
import type { MessageDescriptor, OutboxMessage } from './outbox.ts';
import type { Watchers } from './watchers.ts';

/** What all watches have in common. Code that takes a `Watch<typeof watchers>` works with a slot and with a relay such as NATS. */
export interface Watch<W extends Watchers = Watchers> extends AsyncDisposable {
  /** Calls `handler` for each change, or only for rows that match `filter`: the value of the primary key, or values of primary-key or
   *  extra columns. With a list of watchers the handler gets a `Change`. The change is acknowledged when the handler is done.
   *
   *  Can be called at any time, but a subscription gets only changes that are read after the call: subscribe before `start()` to get all of them.
   *  The same handler may be subscribed twice.
   *  @throws ConfigurationError for an unknown watcher or filter column; WatchError `STOPPED`
   *  @example
   *  ```ts
   *  watch.subscribe('users:updated', { role_id: 7 }, async (event, context) => cache.delete(event.id));
   *  // A row stream: all changes of one record arrive in commit order, whatever their type.
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
  /** The same, only for rows that match `filter`. */
  subscribe<
    const N extends (keyof MapOf<W> & string) | readonly [keyof MapOf<W> & string, ...(keyof MapOf<W> & string)[]],
    const O extends SubscribeOptions = {},
  >(
    watcher: N,
    filter: FilterOf<W, N>,
    handler: HandlerOf<W, NoInfer<N>, NoInfer<O>>,
    options?: Options<O, SubscribeOptions>,
  ): Subscription;
  /** Ends every subscription with this watcher and handler and without a filter. Returns whether there was one. */
  unsubscribe<const N extends WatcherNames<W>>(watcher: N, handler: (...args: any) => unknown): boolean;
  /** Ends every subscription with this watcher, filter and handler. */
  unsubscribe<const N extends WatcherNames<W>>(
    watcher: N,
    filter: FilterOf<W, N>,
    handler: (...args: any) => unknown,
  ): boolean;
  /** Subscribes and returns the changes as an async iterator. A change is acknowledged when the loop asks for the next one or ends.
   *  Leaving the loop or aborting `signal` ends the subscription without an error. An error that ends the watch is thrown.
   *  @example
   *  ```ts
   *  for await (const { event, context } of watch.events('users:inserted')) await welcome(event.id);
   *  ``` */
  events<const N extends WatcherNames<W>>(
    watcher: N,
    options?: { readonly signal: AbortSignal },
  ): AsyncIterableIterator<ChangeOf<W, NamesIn<W, N>>>;
  /** The same, only for rows that match `filter`. */
  events<const N extends WatcherNames<W>>(
    watcher: N,
    filter: FilterOf<W, N>,
    options?: { readonly signal: AbortSignal },
  ): AsyncIterableIterator<ChangeOf<W, NamesIn<W, N>>>;
  /** Describes a watcher and its table. What only the database knows is undefined before `start()`. */
  details(watcher: WatcherName<W>): WatcherDetails;
  /** A snapshot of the watch's state. Cheap; never throws. */
  status(): WatchStatus;
  /** Listens to events of the watch itself. Returns a function that removes the listener. The watch does not wait for listeners and
   *  logs what they throw. An `error` event without a listener does not crash the process.
   *  @throws ConfigurationError for an unknown event
   *  @example
   *  ```ts
   *  watch.on('gap', ({ from, to, reason }) => log.error({ from, to }, reason));
   *  ``` */
  on<E extends keyof WatchEventMap>(event: E, listener: (value: WatchEventMap[E]) => void): () => void;
  /** Connects and resolves when streaming has begun, or when `stop()` is called before that. Rejects with the error that ends the watch
   *  before it streams; an unreachable server is not such an error: walwatch tries again. A second call returns the same promise.
   *  After `stop()` it rejects with `STOPPED`: create a new watch. */
  start(): Promise<void>;
  /** Stops reading, waits for running handlers (up to `stopTimeout`, then aborts their signals), acknowledges all handled events and
   *  closes all connections. Idempotent; never rejects. */
  stop(): Promise<void>;
  /** Resolves after `stop()`, rejects with the error that ended the watch. It never causes an unhandled rejection. If the application
   *  neither awaits it, listens to `error` nor logs, walwatch passes the error to `process.emitWarning`. If it awaits neither this
   *  promise nor the `start()` that failed, `process.exitCode` becomes 1. */
  readonly closed: Promise<void>;
}

/** A watch that reads a replication slot: what `createWatch` returns. */
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
  /** Calls `handler` with all watched changes of a transaction, one transaction after the other. Acknowledged like events.
   *  The call begins with the first change. A transaction larger than `highWaterMark` is streamed and can be read only once: if the
   *  handler fails in the middle of it, the watch ends, and the transaction is delivered again after a restart.
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
  /** Calls `handler` for the messages of an outbox with this name, in order with the changes. Acknowledged like events. Bytes that
   *  `emit` did not write are a failed attempt, with the code `MESSAGE_INVALID`.
   *  @throws ConfigurationError for something that `outbox.message` did not return; WatchError `STOPPED`
   *  @example
   *  ```ts
   *  watch.onMessage(outbox.message('order.placed'), async ({ value }, { eventId }) => publish(eventId, value), { concurrency: 8 });
   *  ``` */
  onMessage<M extends string, V, const O extends MessageOptions = {}>(
    message: MessageDescriptor<M, V>,
    handler: MessageHandlerOf<OutboxMessage<M, V>, NoInfer<O>>,
    options?: Options<O, MessageOptions>,
  ): Subscription;
  /** Calls `handler` for messages of `pg_logical_emit_message(…, prefix, …)` with exactly this prefix.
   *  @example
   *  ```ts
   *  watch.onMessage('outbox', async ({ content }, { eventId }) => publish(eventId, content.toString()));
   *  ``` */
  onMessage<const O extends Omit<MessageOptions, 'concurrency'> = {}>(
    prefix: string,
    handler: MessageHandlerOf<LogicalMessage, NoInfer<O>>,
    options?: Options<O, Omit<MessageOptions, 'concurrency'>>,
  ): Subscription;
  /** Resolves when everything that was committed before the call is handled: for tests, and before another process takes over. It
   *  waits for retries, and until the watch is streaming. Do not await it in a handler: it would wait for itself.
   *  @throws the signal's reason; a WatchError when the watch ends first
   *  @example
   *  ```ts
   *  await pool.query("update users set name = 'Ada' where id = 42");
   *  await watch.caughtUp({ signal: AbortSignal.timeout(5000) });
   *  ``` */
  caughtUp(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** For liveness and readiness probes. `live` is false only if a restart would help. `ready` is true while streaming or standing by
   *  for the slot. `reasons` says why one of them is false. Never throws.
   *  @example
   *  ```ts
   *  const { ready, reasons } = watch.health();
   *  response.writeHead(ready ? 200 : 503).end(reasons.join('\n'));
   *  ``` */
  health(): { readonly live: boolean; readonly ready: boolean; readonly reasons: readonly string[] };
  /** Events that their subscriptions gave up on, with `onError: { attempts, then: 'deadLetter' }`.
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
