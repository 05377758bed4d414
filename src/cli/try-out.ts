import type { Client } from 'pg';

/** Milliseconds. Less than deadlock_timeout, after which the server would cancel an autovacuum that holds the lock. */
const lockTimeout = 500;
/** Milliseconds */
const statementTimeout = 5000;

/**
 * Runs statements in a transaction and rolls it back: only that shows whether rights, event triggers and settings allow them.
 * Returns their error.
 */
export async function tryOut(client: Client, statements: readonly string[]): Promise<unknown> {
  if (statements.length === 0) return undefined;
  try {
    await client.query(
      `begin; set local lock_timeout = ${lockTimeout}; set local statement_timeout = ${statementTimeout}`,
    );
    for (const statement of statements) await client.query(statement);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await client.query('rollback').catch(() => {}); // the connection may be what failed
  }
}
