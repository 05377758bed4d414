/** The clients and query builders that `walwatch/outbox` writes with: the real packages. */
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres';
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js';
import { CamelCasePlugin, CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import { Pool, type PoolClient } from 'pg';
import postgres from 'postgres';
import { prismaClient } from './prisma.ts';

/** A transaction of one of them. */
interface Tried {
  readonly executor: any;
  /** Runs SQL in it. */
  readonly sql: (text: string) => PromiseLike<unknown>;
  /** Runs `work` in a savepoint, and rolls back to it. */
  readonly rolledBack: (work: (executor: any) => Promise<void>) => Promise<void>;
}

export interface Opened {
  /** What the types and the outbox must refuse, with the message of the refusal. */
  readonly outside: readonly (readonly [executor: any, message: string])[];
  /** Rejects, after a rollback, with what `work` throws. */
  transaction(work: (tried: Tried) => Promise<void>): Promise<void>;
  close(): Promise<unknown>;
}

class Rollback extends Error {}
const ignoreRollback = (error: unknown) => {
  if (!(error instanceof Rollback)) throw error;
};

async function inSavepoint(sql: Tried['sql'], work: () => Promise<void>): Promise<void> {
  await sql('savepoint tried');
  await work();
  await sql('rollback to savepoint tried');
}

async function inPg(client: PoolClient, work: (tried: Tried) => Promise<void>): Promise<void> {
  const sql = (text: string) => client.query(text);
  await client.query('begin');
  try {
    await work({ executor: client, sql, rolledBack: (inner) => inSavepoint(sql, () => inner(client)) });
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

async function openPg(url: string): Promise<Opened> {
  const pool = new Pool({ connectionString: url });
  const client = await pool.connect();
  return {
    outside: [
      [pool, 'a Pool is not in a transaction'],
      [client, 'this client is not in a transaction'],
    ],
    transaction: (work) => inPg(client, work),
    async close() {
      client.release();
      await pool.end();
    },
  };
}

async function openKysely(url: string): Promise<Opened> {
  const pool = new Pool({ connectionString: url });
  const db = new Kysely<any>({
    dialect: new PostgresDialect({ pool }),
    plugins: [new CamelCasePlugin()],
    log: () => {},
  });
  const message = 'this Kysely is not in a transaction';
  return {
    outside: [[db, message], [db.withSchema('public'), message]],
    transaction: (work) =>
      db.transaction().execute((trx) => {
        const sql = (text: string) => trx.executeQuery(CompiledQuery.raw(text));
        return work({ executor: trx, sql, rolledBack: (inner) => inSavepoint(sql, () => inner(trx)) });
      }),
    close: () => db.destroy(),
  }; // prettier-ignore
}

function openDrizzle(db: any, close: Opened['close']): Opened {
  return {
    outside: [[db, 'this Drizzle database is not in a transaction']],
    transaction: (work) =>
      db.transaction((tx: any) =>
        work({
          executor: tx,
          sql: (text) => tx.execute(drizzleSql.raw(text)),
          rolledBack: (inner) =>
            tx
              .transaction(async (nested: any) => {
                await inner(nested);
                throw new Rollback();
              })
              .catch(ignoreRollback),
        }),
      ),
    close,
  };
}

async function openPrisma(url: string): Promise<Opened> {
  const prisma = prismaClient(url);
  const message = 'this Prisma client is not in a transaction';
  const extended = prisma.$extends({
    query: { $allOperations: ({ args, query }: any) => query(args) },
  });
  return {
    outside: [[prisma, message], [extended, message]],
    transaction: (work) =>
      prisma.$transaction((tx: any) =>
        work({
          executor: tx,
          sql: (text) => tx.$executeRawUnsafe(text),
          rolledBack: (inner) =>
            tx
              .$transaction(async (nested: any) => {
                await inner(nested);
                throw new Rollback();
              })
              .catch(ignoreRollback),
        }),
      ),
    close: () => prisma.$disconnect(),
  }; // prettier-ignore
}

async function openPostgresJs(url: string): Promise<Opened> {
  const root = postgres(url, { onnotice: () => {}, max: 2 });
  const reserved = await root.reserve();
  const message = 'this postgres.js sql is not in a transaction';
  return {
    outside: [[root, message], [reserved, message]],
    transaction: async (work) => {
      await root.begin((sql) =>
        work({
          executor: sql,
          sql: (text) => sql.unsafe(text),
          rolledBack: (inner) =>
            sql
              .savepoint(async (nested) => {
                await inner(nested);
                throw new Rollback();
              })
              .catch(ignoreRollback),
        }),
      );
    },
    async close() {
      reserved.release();
      await root.end();
    },
  }; // prettier-ignore
}

export const executors: Readonly<Record<string, (url: string) => Promise<Opened>>> = {
  pg: openPg,
  Kysely: openKysely,
  async 'Drizzle with node-postgres'(url) {
    const pool = new Pool({ connectionString: url });
    return openDrizzle(drizzlePg(pool), () => pool.end());
  },
  async 'Drizzle with postgres.js'(url) {
    const client = postgres(url, { onnotice: () => {} });
    return openDrizzle(drizzlePostgresJs(client), () => client.end());
  },
  Prisma: openPrisma,
  'postgres.js': openPostgresJs,
};
