import type { Client } from 'pg';

/** Milliseconds: it is only a trial. Below deadlock_timeout, after which an autovacuum that is in the way would be cancelled. */
const lockTimeout = 500;
/** Milliseconds */
const statementTimeout = 5000;

/**
 * Runs statements in a transaction and takes all of it back: only so it shows what rights, event triggers and settings say to
 * them. Returns what they fail with.
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
