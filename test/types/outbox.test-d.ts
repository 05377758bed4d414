import type { ITXClientDenyList } from '@prisma/client/runtime/client';
import type { NodePgDatabase, NodePgTransaction } from 'drizzle-orm/node-postgres';
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type { ControlledTransaction, Kysely, Transaction } from 'kysely';
import type { Client, Pool, PoolClient } from 'pg';
import type { ReservedSql, Sql, TransactionSql } from 'postgres';
import { describe, expectTypeOf, test } from 'vitest';
import {
  type Annotations,
  createOutbox,
  type InTransaction,
  type JsonMessages,
  type MessageDescriptor,
  type Outbox,
} from '../../src/outbox/index.ts';
import type { PrismaClient, TransactionClient } from '../support/prisma.ts';

declare module '../../src/types/delivery.ts' {
  interface Annotations {
    readonly testActor?: string;
  }
}

interface Messages {
  'order.placed': { id: number; total: string; note?: string };
  'user.renamed': string;
}
const outbox = createOutbox<Messages>();
declare const client: Client;
declare const db: Kysely<{ users: { id: number } }>;
declare const pool: Pool;
declare const trx: Transaction<{ users: { id: number } }>;

test('emit takes the names and the values of Messages', () => {
  void outbox.emit(client, 'order.placed', { id: 7, total: '9.90' }, { key: '7' });
  void outbox.emit(client, 'order.placed', { id: 7, total: '9.90', note: 'fragile' });
  void outbox.emit(client, 'user.renamed', 'Ada');
  expectTypeOf(outbox.emit(client, 'user.renamed', 'Ada')).toEqualTypeOf<Promise<void>>();
  // @ts-expect-error misspelt
  void outbox.emit(client, 'order.place', { id: 7, total: '9.90' });
  // @ts-expect-error a number instead of a string
  void outbox.emit(client, 'order.placed', { id: 7, total: 9.9 });
  // @ts-expect-error a property is missing
  void outbox.emit(client, 'order.placed', { id: 7 });
  // @ts-expect-error the value of another message
  void outbox.emit(client, 'user.renamed', { id: 7, total: '9.90' });
  // @ts-expect-error misspelt
  void outbox.emit(client, 'user.renamed', 'Ada', { keys: '7' });
  // @ts-expect-error a key is a string
  void outbox.emit(client, 'user.renamed', 'Ada', { key: 7 });
});

test('message describes the name and the value for onMessage', () => {
  expectTypeOf(outbox.message('order.placed')).toEqualTypeOf<
    MessageDescriptor<'order.placed', Messages['order.placed']>
  >();
  // @ts-expect-error misspelt
  outbox.message('order.place');
});

test('annotations are free, except for the keys that the application gives a type', () => {
  void outbox.annotate(client, { testActor: 'user:7', anything: [1, { b: true }] });
  // @ts-expect-error its type is string
  void outbox.annotate(client, { testActor: 7 });
  expectTypeOf<Annotations['testActor']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<Annotations['anything']>().toBeUnknown();
});

test('without Messages any name and value are accepted', () => {
  const untyped = createOutbox();
  expectTypeOf(untyped).toEqualTypeOf<Outbox<Record<string, unknown>>>();
  void untyped.emit(client, 'anything', { a: [1] });
  expectTypeOf(untyped.message('anything')).toEqualTypeOf<MessageDescriptor<'anything', unknown>>();
});

describe('Messages are JSON', () => {
  type DateText = readonly ['JSON turns this into', string, 'declare that'];

  test('a type that JSON changes becomes a message', () => {
    interface Dated {
      'order.placed': { at: Date };
    }
    // @ts-expect-error a Date
    createOutbox<Dated>();
    expectTypeOf<JsonMessages<Dated>['order.placed']>().toEqualTypeOf<{ at: DateText }>();
    expectTypeOf<JsonMessages<{ m: { lines: { at: Date | null }[] } }>['m']>().toEqualTypeOf<{
      lines: { at: DateText | null }[];
    }>();
    // @ts-expect-error a bigint in a list
    createOutbox<{ m: { ids: bigint[] } }>();
    // @ts-expect-error a function
    createOutbox<{ m: { run(): void } }>();
    // @ts-expect-error a symbol
    createOutbox<{ m: symbol }>();
    // @ts-expect-error a Map
    createOutbox<{ m: Map<string, number> }>();
    // @ts-expect-error a Buffer has toJSON()
    createOutbox<{ m: Buffer }>();
  });

  test('every type of JSON stays as it is', () => {
    interface Tree {
      readonly name: string;
      readonly children: readonly Tree[];
    }
    type Id = string & { readonly brand: 'id' };
    interface Fine {
      tree: Tree;
      union: { kind: 'a'; n: number | null } | { kind: 'b'; on?: boolean };
      pair: [id: Id, count: number];
      record: Record<string, Tree | undefined>;
      free: unknown;
      any: any;
      nothing: null;
    }
    const fine = createOutbox<Fine>();
    expectTypeOf(fine.message('pair').$value!).toEqualTypeOf<[id: Id, count: number]>();
    void fine.emit(client, 'tree', { name: 'a', children: [{ name: 'b', children: [] }] });
  });
});

describe('an executor', () => {
  test('is a client or a transaction of pg, Kysely, Drizzle, Prisma or postgres.js', () => {
    type Accepted =
      | Client
      | PoolClient
      | Transaction<{ users: { id: number } }>
      | ControlledTransaction<{ users: { id: number } }>
      | NodePgTransaction<Record<string, never>, Record<string, never>>
      | Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]
      | Parameters<Parameters<PostgresJsDatabase['transaction']>[0]>[0]
      | TransactionClient
      | TransactionSql;
    expectTypeOf<InTransaction<Accepted>>().toEqualTypeOf<Accepted>();
    expectTypeOf<{ query(text: string, values: unknown[]): Promise<unknown> }>().toExtend<
      InTransaction<{ query(text: string, values: unknown[]): Promise<unknown> }>
    >();
  });

  test('is inferred from the argument, also in a function that is generic', () => {
    void outbox.annotate(trx, { testActor: 'a' });
    async function place<E>(executor: InTransaction<E>) {
      await outbox.emit<'user.renamed', E>(executor, 'user.renamed', 'Ada');
    }
    void place(trx);
    void place(client);
  });

  test('outside of a transaction is refused with what to pass instead', () => {
    type Refusal<E> = InTransaction<E>;
    expectTypeOf<
      Refusal<Pool>
    >().toEqualTypeOf<'a Pool is not in a transaction: pass a client of pool.connect() after BEGIN'>();
    expectTypeOf<
      Refusal<Kysely<{ users: { id: number } }>>
    >().toEqualTypeOf<'this Kysely is not in a transaction: pass the trx of db.transaction().execute(async (trx) => …)'>();
    expectTypeOf<
      Refusal<NodePgDatabase | PostgresJsDatabase>
    >().toEqualTypeOf<'this Drizzle database is not in a transaction: pass the tx of db.transaction(async (tx) => …)'>();
    expectTypeOf<
      Refusal<PrismaClient>
    >().toEqualTypeOf<'this Prisma client is not in a transaction: pass the tx of prisma.$transaction(async (tx) => …)'>();
    expectTypeOf<
      Refusal<Sql>
    >().toEqualTypeOf<'this postgres.js sql is not in a transaction: pass the sql of sql.begin(async (sql) => …)'>();
    type None =
      'no executor in a transaction: pass the client or transaction of pg, Kysely, Drizzle, Prisma or postgres.js';
    expectTypeOf<Refusal<ReservedSql>>().not.toExtend<ReservedSql>();
    expectTypeOf<[Refusal<{}>, Refusal<undefined>, Refusal<string>]>().toEqualTypeOf<[None, None, None]>();
    // @ts-expect-error a Pool
    void outbox.emit(pool, 'user.renamed', 'Ada');
    // @ts-expect-error a Pool
    void outbox.annotate(pool, {});
    // @ts-expect-error not in a transaction
    void outbox.emit(db, 'user.renamed', 'Ada');
  });

  test('of Prisma is what is left of the client without $connect', () => {
    expectTypeOf<'$connect'>().toExtend<ITXClientDenyList>();
    expectTypeOf<'$transaction'>().not.toExtend<ITXClientDenyList>();
  });
});
