import type { Annotations } from './delivery.ts';

/** An outbox message, as its handler gets it. */
export interface OutboxMessage<N extends string = string, Value = unknown> {
  readonly name: N;
  /** What `emit` was given, after JSON. */
  readonly value: Value;
  /** Undefined: `emit` was called without a key. */
  readonly key: string | undefined;
}

/** One kind of outbox message, as a value: what `outbox.message(name)` returns, and `onMessage` takes. */
export interface MessageDescriptor<N extends string = string, Value = any> {
  readonly name: N;
  /** Prefix of the logical message: `walwatch:message:` and the name. */
  readonly prefix: string;
  /** Carries the type of the value. It has no value at run time. */
  readonly $value?: Value;
}

/** The writing side: see `createOutbox`. */
export interface Outbox<Messages> {
  /** Attaches key/value data to the transaction: `context.annotations` of every change and message after it in the same transaction.
   *  A second call adds its keys, and replaces the values of keys that both have. A rollback, also to a savepoint, removes them.
   *  @throws ConfigurationError if the executor is not in a transaction, or if the annotations are not JSON or take more than 64 KiB
   *  @example
   *  ```ts
   *  await outbox.annotate(trx, { actor: 'user:7', requestId });
   *  ``` */
  annotate<E>(executor: InTransaction<E>, annotations: Annotations): Promise<void>;
  /** Writes a message into the transaction. It is delivered after the commit, in commit order with the changes, and never after a
   *  rollback. `key`: with `concurrency`, messages with the same key are handled one after the other.
   *  @throws ConfigurationError if the executor is not in a transaction, or if the value is not JSON
   *  @example
   *  ```ts
   *  await outbox.emit(trx, 'order.placed', { id: order.id, total: order.total }, { key: String(order.id) });
   *  ``` */
  emit<const N extends keyof Messages & string, E>(
    executor: InTransaction<E>,
    name: N,
    value: Messages[N],
    options?: { readonly key?: string },
  ): Promise<void>;
  /** Describes a message for `onMessage`.
   *  @example
   *  ```ts
   *  watch.onMessage(outbox.message('order.placed'), async ({ value, key }) => publish(key, value));
   *  ``` */
  message<const N extends keyof Messages & string>(name: N): MessageDescriptor<N, Messages[N]>;
}

/** What `annotate` and `emit` run their statement with. Structural: walwatch imports none of these packages. */
export type TransactionExecutor =
  | {
      /** `Client` and `PoolClient` of pg, between BEGIN and COMMIT. */
      query(text: string, values: any[]): PromiseLike<unknown>;
    }
  | {
      readonly isTransaction: true;
      /** `Transaction` of Kysely. */
      executeQuery(query: any): PromiseLike<unknown>;
    }
  | {
      /** A transaction of Drizzle. */
      execute(query: string): PromiseLike<unknown>;
      /** The database itself does not have it. */
      rollback(): never;
    }
  | {
      /** `Prisma.TransactionClient`. */
      $executeRawUnsafe(query: string, ...values: any[]): PromiseLike<number>;
    }
  | {
      /** `TransactionSql` of postgres.js. */
      unsafe(query: string, parameters?: any[]): PromiseLike<unknown>;
      /** The root `sql` does not have it. */
      savepoint(...args: any): unknown;
    };

/** `E` if it is, as far as its type tells, an executor in a transaction; otherwise a message with the executor to pass. */
export type InTransaction<E> = E extends { readonly totalCount: number }
  ? 'a Pool is not in a transaction: pass a client of pool.connect() after BEGIN'
  : E extends { readonly isTransaction: boolean }
    ? E extends { readonly isTransaction: true }
      ? Executor<E>
      : 'this Kysely is not in a transaction: pass the trx of db.transaction().execute(async (trx) => …)'
    : E extends { readonly $connect: unknown }
      ? 'this Prisma client is not in a transaction: pass the tx of prisma.$transaction(async (tx) => …)'
      : E extends { readonly begin: unknown; readonly unsafe: unknown }
        ? 'this postgres.js sql is not in a transaction: pass the sql of sql.begin(async (sql) => …)'
        : Executor<E>;
type Executor<E> = E extends TransactionExecutor
  ? E
  : E extends { readonly execute: unknown; readonly transaction: unknown }
    ? 'this Drizzle database is not in a transaction: pass the tx of db.transaction(async (tx) => …)'
    : 'no executor in a transaction: pass the client or transaction of pg, Kysely, Drizzle, Prisma or postgres.js';

/** The constraint of `createOutbox<Messages>()`: every type in `Messages` must come back from JSON as it was. Another type becomes a message. */
export type JsonMessages<Messages> = { readonly [N in keyof Messages]: Json<Messages[N]> };
type Json<T> = unknown extends T ? T : JsonPart<T>;
type JsonPart<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends bigint | symbol | ((...args: never) => unknown)
    ? readonly ['JSON cannot hold a', T]
    : T extends { toJSON(...args: never): infer R }
      ? readonly ['JSON turns this into', R, 'declare that']
      : T extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>
        ? readonly ['JSON turns this into', {}, 'declare an array']
        : { [K in keyof T]: Json<T[K]> };
