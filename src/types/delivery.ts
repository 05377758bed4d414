import type { Client } from 'pg';
import type { MapOf } from './inference.ts';
import type { EventOf, NamesIn, TypeOf, WatcherName, WatcherNames } from './lookup.ts';
import type { UpdateType, Watchers } from './watchers.ts';

/** What every delivery tells: where it comes from and which attempt it is. */
export interface DeliveryContext {
  /** Stable across redeliveries: `commitLsn/ordinal`. The key to deduplicate by. Unique in one history of the database: after the
   *  server was restored to an earlier state, new changes get the same positions (`gap` tells). */
  readonly eventId: string;
  /** Position of the commit record, e.g. `'16/B374D848'`. Compare with `compareLsn`, not as text. */
  readonly commitLsn: string;
  readonly xid: number;
  readonly committedAt: Date;
  /** 1 for the first call in this process; higher where a process before it ended in the middle of the handler. */
  readonly attempt: number;
  /** Aborted when the attempt cannot succeed any more: the handler's `timeout` or, on `stop()`, the watch's `stopTimeout` is
   *  over, or its session is lost. */
  readonly signal: AbortSignal;
}

/** Second argument of a handler. */
export interface EventContext<
  N extends string = string,
  Event = any,
  Type extends UpdateType = UpdateType,
> extends DeliveryContext {
  readonly watcher: N;
  readonly type: Type;
  readonly schema: string;
  readonly table: string;
  /** Number of the change within its transaction, from 0, counting all that the publication carries. */
  readonly ordinal: number;
  /** `updated`: old values of the event's columns as far as PostgreSQL sent them (undefined: not known); else `{}`. */
  readonly previous: Readonly<Partial<Event>>;
  /** The event's columns whose value PostgreSQL did not send. Nearly always empty. */
  readonly absent: readonly (keyof Event & string)[];
  /** The row was in the table before: it is read because of the option `existing`, and is no change. */
  readonly existing: Type extends 'inserted' ? boolean : false;
}

/** A message of `pg_logical_emit_message`. */
export interface LogicalMessage {
  readonly prefix: string;
  readonly content: Buffer;
  /** False: written outside any transaction's order (`xid` 0); `commitLsn` and `committedAt` are then those of the message and its arrival. */
  readonly transactional: boolean;
}

/** A handler is done when it returns or its promise resolves; what it returns is ignored. Only then is its change acknowledged. */
export interface EventHandler<N extends string = string, Event = any, Type extends UpdateType = UpdateType, More = {}> {
  (event: Event, context: EventContext<N, Event, Type> & More): unknown;
}

/** What `transaction: true` adds to a context. */
export type ClientIn<O> = O extends { readonly transaction: true } ? { readonly client: Client } : {};

/** The second argument of the handlers of a watcher: `ContextOf<typeof watchers, 'users:updated'>`. */
export type ContextOf<W extends Watchers, N extends WatcherName<W>> = EventContext<
  N,
  EventOf<W, N>,
  MapOf<W>[N]['type']
>;

/** Second argument of a batch handler. */
export interface BatchContext<N extends string = string, Event = any, Type extends UpdateType = UpdateType> {
  readonly watcher: N;
  /** `contexts[i]` belongs to `events[i]`. */
  readonly contexts: readonly EventContext<N, Event, Type>[];
  readonly attempt: number;
  readonly signal: AbortSignal;
}

/** A handler subscribed with `batch`. */
export interface BatchHandler<N extends string = string, Event = any, Type extends UpdateType = UpdateType, More = {}> {
  (events: readonly Event[], context: BatchContext<N, Event, Type> & More): unknown;
}

/** Second argument of a batch handler of a row stream. */
export interface ChangesContext<Context = EventContext> {
  /** `contexts[i]` is that of `changes[i]`. */
  readonly contexts: readonly Context[];
  readonly attempt: number;
  readonly signal: AbortSignal;
}

/** The handler that `subscribe` wants, given the options it is subscribed with. Of a list of watchers it gets changes. */
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

/** One change as a value: what iterators yield. Narrow a union of them by `watcher` or by `type`. */
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
/** What `events()` yields for these watchers: a union to narrow by `watcher` or `type`. */
export type ChangeOf<W extends Watchers, N extends WatcherName<W> = WatcherName<W>> = {
  [K in N]: Change<K, EventOf<W, K>, ContextOf<W, K>>;
}[N];

/** The watched changes of one transaction in commit order; larger ones than `highWaterMark` are streamed.
 *  @example
 *  ```ts
 *  for await (const { watcher, event } of transaction) await apply(watcher, event);
 *  ``` */
export interface Transaction<W extends Watchers = Watchers> extends AsyncIterable<ChangeOf<W>> {
  /** All changes at once: for transactions known to be small. */
  toArray(): Promise<readonly ChangeOf<W>[]>;
}

/** What may follow when a handler has failed: see `OnError`. */
export type ErrorAction = 'retry' | 'stop' | 'skip' | 'deadLetter';

/** What happens when a handler throws, rejects or times out. `'retry'` (default): for ever, with backoff and jitter, 0.1 s to 60 s.
 *  An object: after so many attempts the watch stops with `HANDLER_FAILED`, or the event is skipped, or goes to `walwatch.dead_letters`.
 *  A function decides at each failure. Until then the event, and so the slot, is held. */
export type OnError =
  | 'retry'
  | { readonly attempts: number; readonly then: Exclude<ErrorAction, 'retry'> }
  | ((error: unknown, context: DeliveryContext) => ErrorAction);

/** Options of every kind of subscription. */
export interface DeliveryOptions {
  /** Stable name, in logs, metrics and status; required to be unique with `transaction` or dead letters. Default: watcher and filter. */
  readonly name?: string;
  /** Ends the subscription. */
  readonly signal?: AbortSignal;
  /** Default: the watch's. */
  readonly onError?: OnError;
  /** Milliseconds for one attempt. After that `context.signal` aborts and the attempt has failed with `HANDLER_TIMEOUT`;
   *  the next one begins once the handler has settled. Default: none. */
  readonly timeout?: number;
  /** Gives the handler `context.client`: its writes and the position commit in one transaction, so each event takes effect
   *  exactly once in this database. `createWatch` only, and one event at a time. Default false. */
  readonly transaction?: boolean;
}

/** With `transaction: true`: what is written through `client` commits together with the position. */
export interface Transactional {
  /** Inside BEGIN … COMMIT, which are walwatch's: a handler that ends the transaction, or goes on after a failed query, has failed. */
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
  /** How many events (batches) of different records may run at once; those of one record never do. Default 1. */
  readonly concurrency?: number;
  /** Hands over arrays of events; retried and acknowledged as a whole. */
  readonly batch?: BatchOptions;
}

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
  /** Names the run: the same version resumes, and does nothing once it is done. */
  readonly version: string;
  /** Most rows that are read at once. Default: about 20 milliseconds' worth. */
  readonly chunk?: number;
  /** After changes were lost (`gap`): read all rows again (default), or not. */
  readonly afterGap?: 'read' | 'ignore';
}

/** How far the existing rows of a subscription are read. */
export interface ExistingRows {
  readonly version: string;
  readonly state: 'waiting' | 'reading' | 'done';
  /** Handled so far, of all tables. */
  readonly rows: number;
  /** Of all tables, by PostgreSQL's statistics. Undefined: without statistics, with a row filter, or before the last table is reached. */
  readonly estimatedRows: number | undefined;
  /** Resolves when every existing row has been handled. Rejects when the subscription or the watch ends before. Never an unhandled
   *  rejection. After a gap, when the rows are read again, it is another promise. */
  readonly done: Promise<void>;
}

/** How events are gathered: `{ size: 500, wait: 50, latest: true }`. */
export interface BatchOptions {
  /** Most events in a batch. */
  readonly size: number;
  /** Milliseconds to wait for more after the first. Default 0: what is there. */
  readonly wait?: number;
  /** Only the newest event of each record in the batch. Default false. */
  readonly latest?: boolean;
}

/** A registered handler: what `subscribe` and `onMessage` return. `using subscription = …` ends it with the block. */
export interface Subscription extends Disposable {
  readonly name: string;
  /** No further events; a running handler is still waited for before its event is acknowledged. Idempotent. */
  unsubscribe(): void;
  /** With the option `existing`. */
  readonly existing: ExistingRows | undefined;
}

/** A subscription with the option `existing`. */
export interface ExistingSubscription extends Subscription {
  readonly existing: ExistingRows;
}

/** What `subscribe` returns, given its options. */
export type SubscriptionOf<O> = O extends { readonly existing: string | ExistingOptions }
  ? ExistingSubscription
  : Subscription;

/** An event that its handler could not handle. */
export interface DeadLetter {
  readonly id: string;
  readonly subscription: string;
  readonly watcher: string;
  readonly eventId: string;
  readonly event: Readonly<Record<string, unknown>>;
  readonly attempts: number;
  readonly error: string;
  readonly failedAt: Date;
  /** Values that were too long to be kept, with how long they were: `event` holds their beginning as text. Such a letter cannot be replayed. */
  readonly shortened?: Readonly<Record<string, number>>;
}

/** Which dead letters are meant: all that match everything that is given. */
export interface DeadLetterFilter {
  readonly subscription?: string;
  readonly watcher?: string;
  readonly ids?: readonly string[];
}

/** `walwatch.dead_letters`, over the ordinary connection. `which` narrows by subscription, watcher or ids; none means all. */
export interface DeadLetters {
  /** Oldest first, read as the loop goes on. */
  list(which?: DeadLetterFilter): AsyncIterable<DeadLetter>;
  /** Hands them to the subscription of that name again, removes those that succeed, returns how many did. */
  replay(which?: DeadLetterFilter): Promise<number>;
  /** Deletes them, returns how many there were. */
  discard(which: DeadLetterFilter): Promise<number>;
}
