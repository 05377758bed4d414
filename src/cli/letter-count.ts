import type { Client } from 'pg';
import { foreignTable } from '../postgres/own-tables.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { withoutSecrets } from './output.ts';

/** The dead letters of one subscription. */
interface Letters {
  readonly subscription: string;
  readonly count: number;
  readonly newest: Date;
}

export interface LetterCount {
  readonly of: readonly Letters[];
  /** Why the count is not known. */
  readonly unknown: string | undefined;
}

/** Milliseconds: another session may hold a lock on the table. */
const patience = 2000;

/** How many events of a slot have become dead letters, by subscription. */
export async function countLetters(client: Client, slot: string): Promise<LetterCount> {
  try {
    const foreign = await foreignTable(client, 'dead_letters');
    if (foreign) return { of: [], unknown: withoutSecrets(foreign.message) };
    await client.query(`set statement_timeout = ${patience}`);
    const { rows } = await client.query<{ subscription: string; count: number; newest: number }>(
      `select subscription, count(*)::int as count, (extract(epoch from pg_catalog.max(failed_at)) * 1000)::float8 as newest
       from walwatch.dead_letters where slot = $1 group by subscription order by count(*) desc, subscription`,
      [slot],
    );
    return { of: rows.map((row) => ({ ...row, newest: new Date(row.newest) })), unknown: undefined };
  } catch (error) {
    const state = sqlStateOf(error);
    // The first letter creates the table.
    if (state === sqlState.undefinedTable || state === sqlState.invalidSchemaName)
      return { of: [], unknown: undefined };
    return { of: [], unknown: withoutSecrets((error as Error).message) };
  } finally {
    await client.query('reset statement_timeout').catch(() => {}); // the connection may be what failed
  }
}
