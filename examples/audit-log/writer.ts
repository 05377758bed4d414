/** The application: it changes rows in transactions that say who makes the change. */
import type { Pool, PoolClient } from 'pg';
import { createOutbox } from 'walwatch/outbox';

const outbox = createOutbox();

interface Request {
  /** Who is logged in, or which job runs. */
  readonly actor: string;
  readonly requestId: string;
}

/** Runs `work` in a transaction. All its changes carry the actor and the request, also those that triggers make. */
async function inTransaction<T>(pool: Pool, request: Request, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await outbox.annotate(client, { ...request });
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

/** A day in the life of an account. */
export async function writeChanges(pool: Pool): Promise<void> {
  const accountId = await inTransaction(pool, { actor: 'user:ada', requestId: 'req-1' }, async (client) => {
    const { rows } = await client.query<{ id: number }>(
      `insert into example.accounts (email, credit_limit) values ('grace@example.org', 100) returning id`,
    );
    return rows[0]!.id;
  });
  await inTransaction(pool, { actor: 'user:bob', requestId: 'req-2' }, async (client) => {
    await client.query('update example.accounts set credit_limit = 500 where id = $1', [accountId]);
    await client.query('insert into example.orders (account_id, total) values ($1, 480)', [accountId]);
  });
  await inTransaction(pool, { actor: 'job:reminders', requestId: 'run-77' }, (client) =>
    client.query(`update example.orders set state = 'overdue' where account_id = $1`, [accountId]),
  );
  await inTransaction(pool, { actor: 'user:bob', requestId: 'req-3' }, (client) =>
    client.query('delete from example.orders where account_id = $1', [accountId]),
  );
  // Somebody at a SQL prompt: the change is in the log, but it has no actor.
  await pool.query('update example.accounts set credit_limit = 9999 where id = $1', [accountId]);
}
