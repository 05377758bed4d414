import type { Client } from 'pg';
import { foreignTable, type OwnTable } from '../postgres/own-tables.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { withoutSecrets } from './output.ts';

/** What a table of walwatch says about a slot. */
export interface OwnTableFacts<T> {
  readonly of: readonly T[];
  /** Why nothing is known. */
  readonly unknown: string | undefined;
}

/** Milliseconds: another session may hold a lock on the table. */
const patience = 2000;

/** Reads a table of walwatch, if it can be trusted. A table that does not exist yet has no rows. */
export async function readOwnTable<T>(
  client: Client,
  table: OwnTable,
  read: () => Promise<readonly T[]>,
): Promise<OwnTableFacts<T>> {
  try {
    const foreign = await foreignTable(client, table);
    if (foreign) return { of: [], unknown: withoutSecrets(foreign.message) };
    await client.query(`set statement_timeout = ${patience}`);
    return { of: await read(), unknown: undefined };
  } catch (error) {
    const state = sqlStateOf(error);
    if (state === sqlState.undefinedTable || state === sqlState.invalidSchemaName)
      return { of: [], unknown: undefined };
    return { of: [], unknown: withoutSecrets((error as Error).message) };
  } finally {
    await client.query('reset statement_timeout').catch(() => {}); // the connection may be what failed
  }
}
