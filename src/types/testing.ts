import type { ClientBase } from 'pg';
import type { Annotations, OnError } from './delivery.ts';
import type { Logger } from './logger.ts';
import type { EventOf, TypeOf, WatcherName } from './lookup.ts';
import type { MessageDescriptor } from './outbox.ts';
import type { SlotWatch } from './watch.ts';
import type { Watchers } from './watchers.ts';

/** Options of `createTestWatch`. */
export interface TestWatchOptions {
  /** Default for all subscriptions. Without it a failed event is not retried, and `deliver` rejects. */
  readonly onError?: OnError;
  /** A pino logger, or one with the same methods. Default: warnings only, by `process.emitWarning`. `false`: nothing. */
  readonly logger?: Logger | false;
  /** `context.client` of handlers with `transaction: true`. walwatch sends nothing over it: no BEGIN, no COMMIT, no position. A test
   *  begins a transaction itself, and rolls it back at the end. */
  readonly client?: ClientBase;
}

/** Options of every delivery of a test watch. */
export interface DeliverOptions {
  /** `context.annotations`, as after `outbox.annotate`. Default: none. */
  readonly annotations?: Annotations;
  /** Delivers it this many times with the same `eventId`, as after a crash. The next time begins when the handlers are done.
   *  Default 1. */
  readonly times?: number;
}

/** What can be said about one change that `deliver` makes. */
export interface ChangeOptions<W extends Watchers, N extends WatcherName<W>> {
  /** Old values of an update: those that PostgreSQL sends, or some of them. Default: none but the primary key. */
  readonly previous?: 'updated' extends TypeOf<W, N>
    ? Readonly<Partial<EventOf<W, N>>>
    : "only 'updated' has previous values";
  /** Delivers it as an existing row, with `context.existing`: to the subscriptions with the option `existing`, or, if
   *  there is none, to all of the watcher, with a warning. */
  readonly existing?: 'inserted' extends TypeOf<W, N> ? boolean : "existing rows arrive as 'inserted'";
}

/**
 * One change of the list that `deliver` takes.
 *
 * @example
 * ```ts
 * const changes: TestChange<typeof watchers>[] = [{ watcher: 'users:inserted', event: { id: 1, role_id: 2 } }];
 * ```
 */
export type TestChange<W extends Watchers> = {
  [N in WatcherName<W>]: {
    readonly watcher: N;
    /** The watcher says it already; a `Change` has it. */
    readonly type?: TypeOf<W, N>;
    readonly event: EventOf<W, N>;
  } & ChangeOptions<W, N>;
}[WatcherName<W>];

/** A watch without a database, for tests: what `createTestWatch` returns. Pass it to code that takes a `Watch` or a `SlotWatch`. */
export interface TestWatch<W extends Watchers = Watchers> extends SlotWatch<W> {
  /** Delivers one change to the subscriptions of a watcher, in a separate transaction. Filters, `when`, `triggerColumns`, order,
   *  batches and `onError` apply as they do with a database. Handlers get the values of `event` as they are. Works before and after
   *  `start()`. Do not await it in a handler: it may wait for that handler.
   *
   *  Resolves when all handlers are done, retries included. A batch is delivered at once, whatever its `wait`. Rejects with what a handler threw, or with an
   *  `AggregateError` if they threw different errors.
   *  @throws ConfigurationError for an unknown watcher or column, or a missing one; the error that ended the watch
   *  @example
   *  ```ts
   *  await watch.deliver('users:updated', { id: 1, role_id: 2 }, { previous: { role_id: 1 } });
   *  await watch.deliver('orders:inserted', { id: 7 }, { times: 2 }); // is the handler idempotent?
   *  ``` */
  deliver<N extends WatcherName<W>>(
    watcher: N,
    event: EventOf<W, N>,
    options?: DeliverOptions & ChangeOptions<W, N>,
  ): Promise<void>;
  /** Delivers several changes as one transaction.
   *  @example
   *  ```ts
   *  await watch.deliver(
   *    [
   *      { watcher: 'orders:inserted', event: { id: 7 } },
   *      { watcher: 'users:updated', event: { id: 1, role_id: 2 }, previous: { role_id: 1 } },
   *    ],
   *    { annotations: { actor: 'user:7' } },
   *  );
   *  ``` */
  deliver(changes: readonly TestChange<W>[], options?: DeliverOptions): Promise<void>;
  /** Delivers an outbox message, as after `outbox.emit`. The value goes through JSON, as it does there.
   *  @example
   *  ```ts
   *  await watch.deliverMessage(outbox.message('order.placed'), { id: 7, total: '9.50' }, { key: '7' });
   *  ``` */
  deliverMessage<N extends string, V>(
    message: MessageDescriptor<N, V>,
    value: NoInfer<V>,
    options?: DeliverOptions & { readonly key?: string },
  ): Promise<void>;
  /** Delivers a logical message with any prefix, as after `pg_logical_emit_message(true, prefix, content)`.
   *  @example
   *  ```ts
   *  await watch.deliverMessage('cache', JSON.stringify({ clear: 'users' }));
   *  ``` */
  deliverMessage(prefix: string, content: string | Uint8Array, options?: DeliverOptions): Promise<void>;
}
