import type { Client } from 'pg';
import type { MapOf } from './inference.ts';
import type { EventOf, NamesIn, TypeOf, WatcherName, WatcherNames } from './lookup.ts';
import type { UpdateType, Watchers } from './watchers.ts';

/** Key/value data that the application attached to its transaction with `outbox.annotate`. An application can declare its own keys:
 *  @example
 *  ```ts
 *  declare module 'walwatch' {
 *    interface Annotations {
 *      readonly actor?: string;
 *    }
 *  }
 *  ``` */
export interface Annotations {
  readonly [key: string]: unknown;
}

/** Fields of every delivery: its position in the WAL and the number of the attempt. */
export interface DeliveryContext {
  /** Identifies the event: `commitLsn/ordinal`, e.g. `'16/B374D848/0'`. Of a message: `commitLsn/mN`; of a transaction: `commitLsn`; of
   *  an existing row: `existing/<version>/<run>/<schema.table>/<key>`. The same in every redelivery, so use it to detect duplicates.
   *  Unique within one history of the database: after the server was restored to an earlier state, new changes can get positions
   *  that were used before. The `gap` event reports that. */
  readonly eventId: string;
  /** Position of the commit record, e.g. `'16/B374D848'`; `'0/0'` of an existing row. Compare positions with `compareLsn`, not as text. */
  readonly commitLsn: string;
  /** Transaction ID; 0 of an existing row. */
  readonly xid: number;
  /** When the transaction committed, by the server's clock. Of an existing row: when it was read. */
  readonly committedAt: Date;
  /** Annotations that the transaction had when it made this change or message; `{}` without one. Any role that can connect may write
   *  them, so validate what you rely on. For `onTransaction`: those of the newest change that has arrived. */
  readonly annotations: Annotations;
  /** 1 for the first call in this process. It starts higher if an earlier process ended while its handler ran, see `onError`. */
  readonly attempt: number;
  /** Aborts when this attempt can no longer succeed: its `timeout` is over, the watch's `stopTimeout` is over after `stop()`, or
   *  the session of `context.client` is lost. Pass it to `fetch` and other calls that accept a signal. */
  readonly signal: AbortSignal;
}

/** Second argument of a handler: which watcher matched which change. */
export interface EventContext<
  N extends string = string,
  Event = any,
  Type extends UpdateType = UpdateType,
> extends DeliveryContext {
  /** The watcher's identifier, e.g. `'users:updated'`. */
  readonly watcher: N;
  readonly type: Type;
  /** Schema of the table in the database. */
  readonly schema: string;
  /** Name of the table in the database, without its schema. */
  readonly table: string;
  /** Number of the change within its transaction, from 0. Counts every change that the publication sends. */
  readonly ordinal: number;
  /** Old values of the event's columns for `updated`, as far as PostgreSQL sent them; a missing column means "not known".
   *  `{}` for the other types. `ALTER TABLE … REPLICA IDENTITY FULL` makes PostgreSQL send all of them. */
  readonly previous: Readonly<Partial<Event>>;
  /** Columns of the event whose value PostgreSQL did not send, such as a large value that the update did not change. Nearly always
   *  empty. The watcher's `absent` option decides what reading such a column does. */
  readonly absent: readonly (keyof Event & string)[];
  /** The row was in the table before: it is read because of the option `existing`, and it is not a change. */
  readonly existing: Type extends 'inserted' ? boolean : false;
}

/** A message that the application wrote with `pg_logical_emit_message(transactional, prefix, content)`. */
export interface LogicalMessage {
  readonly prefix: string;
  readonly content: Buffer;
  /** False: the message was written outside its transaction and is delivered even if that rolls back. `xid` is then 0, `commitLsn`
   *  the position of the message, and `committedAt` the time it arrived. */
  readonly transactional: boolean;
}

/** A handler. It is done when it returns or its promise resolves; only then is the change acknowledged. The result is ignored. A
 *  handler that throws or rejects has failed, see `OnError`. */
export interface EventHandler<N extends string = string, Event = any, Type extends UpdateType = UpdateType, More = {}> {
  (event: Event, context: EventContext<N, Event, Type> & More): unknown;
}

/** What `transaction: true` adds to a handler's context. */
export type ClientIn<O> = O extends { readonly transaction: true } ? { readonly client: Client } : {};

/** The handler's second argument for one watcher: `ContextOf<typeof watchers, 'users:updated'>`. */
export type ContextOf<W extends Watchers, N extends WatcherName<W>> = EventContext<
  N,
  EventOf<W, N>,
  MapOf<W>[N]['type']
>;

/** Second argument of a handler with `batch`. */
export interface BatchContext<N extends string = string, Event = any, Type extends UpdateType = UpdateType> {
  readonly watcher: N;
  /** `contexts[i]` belongs to `events[i]`. */
  readonly contexts: readonly EventContext<N, Event, Type>[];
  /** 1 for the first attempt with this batch. */
  readonly attempt: number;
  /** As in `DeliveryContext`. */
  readonly signal: AbortSignal;
}

/** A handler for arrays of events: with `batch`. It succeeds or fails as a whole. */
export interface BatchHandler<N extends string = string, Event = any, Type extends UpdateType = UpdateType, More = {}> {
  (events: readonly Event[], context: BatchContext<N, Event, Type> & More): unknown;
}

/** Second argument of a handler with `batch` for several watchers. */
export interface ChangesContext<Context = EventContext> {
  /** `contexts[i]` belongs to `changes[i]`. */
  readonly contexts: readonly Context[];
  /** 1 for the first attempt with this batch. */
  readonly attempt: number;
  /** As in `DeliveryContext`. */
  readonly signal: AbortSignal;
}

/** The type of handler that `subscribe` expects, for these watchers and options. A handler for a list of watchers receives changes. */
export type HandlerOf<W extends Watchers, N extends WatcherNames<W>, O = {}> = O extends {
  readonly batch: BatchOptions;
}
  ? (events: readonly Delivered<W, N>[], context: BatchContextOf<W, N> & ClientIn<O>) => unknown
  : (event: Delivered<W, N>, context: ContextIn<W, NamesIn<W, N>> & ClientIn<O>) => unknown;
type Delivered<W extends Watchers, N extends WatcherNames<W>> = [N] extends [WatcherName<W>]
  ? EventOf<W, N>
  : ChangeOf<W, NamesIn<W, N>>;
type ContextIn<W extends Watchers, N extends WatcherName<W>> = { [K in N]: ContextOf<W, K> }[N];
type BatchContextOf<W extends Watchers, N extends WatcherNames<W>> = [N] extends [WatcherName<W>]
  ? BatchContext<N, EventOf<W, N>, TypeOf<W, N>>
  : ChangesContext<ContextIn<W, NamesIn<W, N>>>;

/** One change as a value. Check `watcher` or `type` to narrow a union of changes. */
export interface Change<
  N extends string = string,
  Event = any,
  Context extends { readonly type: UpdateType } = EventContext<N, Event>,
> {
  readonly watcher: N;
  readonly type: Context['type'];
  readonly event: Event;
  readonly context: Context;
}
/** What `events()` yields for these watchers, and what a handler for a list of watchers receives: a union, narrowed by `watcher` or
 *  `type`. */
export type ChangeOf<W extends Watchers, N extends WatcherName<W> = WatcherName<W>> = {
  [K in N]: Change<K, EventOf<W, K>, ContextOf<W, K>>;
}[N];

/** The watched changes of one transaction, in commit order. A transaction larger than `highWaterMark` is streamed: its changes can be
 *  read only once.
 *  @example
 *  ```ts
 *  for await (const { watcher, event } of transaction) await apply(watcher, event);
 *  ``` */
export interface Transaction<W extends Watchers = Watchers> extends AsyncIterable<ChangeOf<W>> {
  /** All changes in one array. Only for transactions that are known to fit into memory. */
  toArray(): Promise<readonly ChangeOf<W>[]>;
}

/** What walwatch does after a failed attempt, see `OnError`. */
export type ErrorAction = 'retry' | 'stop' | 'skip' | 'deadLetter';

/** What happens when a handler throws, rejects or times out.
 *  - `'retry'` (default): walwatch calls it again until it succeeds, with backoff and jitter, after 0.1 s to 60 s.
 *  - An object: after `attempts` attempts the watch stops with `HANDLER_FAILED` (`'stop'`), the event is skipped (`'skip'`) or is
 *    written to `walwatch.dead_letters` (`'deadLetter'`).
 *  - A function: called after each failed attempt, returns what to do.
 *
 *  Until the event is handled, skipped or written, it is not acknowledged, and the slot keeps its WAL.
 *  @example
 *  ```ts
 *  { onError: { attempts: 5, then: 'deadLetter' } }
 *  { onError: (error, { attempt }) => (error instanceof InvalidOrder || attempt >= 10 ? 'deadLetter' : 'retry') }
 *  ``` */
export type OnError =
  | 'retry'
  | { readonly attempts: number; readonly then: Exclude<ErrorAction, 'retry'> }
  | ((error: unknown, context: DeliveryContext) => ErrorAction);

/** Options of every kind of subscription. */
export interface DeliveryOptions {
  /** Name in logs, metrics and `status()`. Must be unique and stay the same across restarts if the subscription uses `transaction`,
   *  dead letters or `existing`. Default: watcher and filter. */
  readonly name?: string;
  /** Ends the subscription when aborted. */
  readonly signal?: AbortSignal;
  /** Default: the watch's `onError`. */
  readonly onError?: OnError;
  /** Milliseconds for one attempt. Then `context.signal` aborts and the attempt fails with `HANDLER_TIMEOUT`. The next attempt begins
   *  only when the handler has returned. Default: no limit. */
  readonly timeout?: number;
  /** Runs the handler in a database transaction, `context.client`, that also stores the position: each event takes effect exactly
   *  once in this database. Only with `createWatch`, and one event or batch at a time: not with `concurrency`.
   *  Default false. */
  readonly transaction?: boolean;
}

/** Context of handlers with `transaction: true`. */
export interface Transactional {
  /** A client inside a transaction. What the handler writes through it commits together with the position. walwatch sends BEGIN and
   *  COMMIT: a handler that ends the transaction itself, or continues after a failed query, fails with `HANDLER_TRANSACTION`. */
  readonly client: Client;
}

/**
 * Options of `subscribe`.
 *
 * @example
 * ```ts
 * watch.subscribe('users:inserted', sendMail, { name: 'mailer', concurrency: 8, onError: { attempts: 5, then: 'deadLetter' } });
 * ```
 */
export interface SubscribeOptions extends DeliveryOptions {
  /** How many events or batches run at the same time. Events of the same record never do. Default 1. */
  readonly concurrency?: number;
  /** Calls the handler with arrays of events. A batch is retried and acknowledged as a whole. */
  readonly batch?: BatchOptions;
}

/** How events are collected into batches: `{ size: 500, wait: 50, latest: true }`. */
export interface BatchOptions {
  /** Maximum number of events in a batch. */
  readonly size: number;
  /** Milliseconds to wait for more events after the first one. Default 0: takes only those that have already arrived. */
  readonly wait?: number;
  /** Keeps only the newest event of each record in a batch, and an older one if it has a value that newer ones lack (see
   *  `context.absent`). Default false. */
  readonly latest?: boolean;
}

/** The progress of reading the existing rows of a subscription. */
export interface ExistingRows {
  readonly version: string;
  /** `'waiting'`: reading has not begun; it waits for the start, or for transactions that were writing before. */
  readonly state: 'waiting' | 'reading' | 'done';
  /** Handled so far, of all tables. */
  readonly rows: number;
  /** Of all tables, by PostgreSQL's statistics. Undefined: without statistics, with a filter, or until all tables are known. */
  readonly estimatedRows: number | undefined;
  /** Resolves when every existing row has been handled. Rejects when the subscription or the watch ends before. Never an unhandled
   *  rejection. After a gap, when the rows are read again, it is another promise. */
  readonly done: Promise<void>;
}

/** A registered handler, returned by `subscribe`, `onMessage` and `onTransaction`. `using subscription = …` ends it with the block. */
export interface Subscription extends Disposable {
  readonly name: string;
  /** Ends the subscription: no further calls. An event whose handler is still running is acknowledged when the handler is done.
   *  Idempotent. */
  unsubscribe(): void;
  /** With the option `existing`. */
  readonly existing: ExistingRows | undefined;
}

/** An event that a subscription gave up on, as stored in `walwatch.dead_letters`. */
export interface DeadLetter {
  readonly id: string;
  /** The subscription's name. */
  readonly subscription: string;
  readonly watcher: string;
  readonly eventId: string;
  /** The event, with its values parsed as they were for the handler. */
  readonly event: Readonly<Record<string, unknown>>;
  /** How many attempts failed. */
  readonly attempts: number;
  /** The last error, as text. */
  readonly error: string;
  readonly failedAt: Date;
  /** Columns whose values were too long to store, with their original length. `event` has the beginning of each as text. Such a dead
   *  letter cannot be replayed. */
  readonly shortened?: Readonly<Record<string, number>>;
}

/** Selects dead letters that match all given fields. */
export interface DeadLetterFilter {
  readonly subscription?: string;
  readonly watcher?: string;
  /** Matches any of these `DeadLetter.id`s. */
  readonly ids?: readonly string[];
}

/** Reads and changes `walwatch.dead_letters`. `which` selects by subscription, watcher or ids; without it: all.
 *  @example
 *  ```ts
 *  const replayed = await watch.deadLetters.replay({ subscription: 'mailer' });
 *  ``` */
export interface DeadLetters {
  /** Yields dead letters, oldest first, and reads them page by page. */
  list(which?: DeadLetterFilter): AsyncIterable<DeadLetter>;
  /** Calls the handler of the subscription with the same name for each dead letter, and deletes those that succeed. Returns how many
   *  succeeded. */
  replay(which?: DeadLetterFilter): Promise<number>;
  /** Deletes dead letters. Returns how many. */
  discard(which: DeadLetterFilter): Promise<number>;
}
