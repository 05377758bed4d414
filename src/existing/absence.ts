import type { Client } from 'pg';
import { foreignTable } from '../postgres/own-tables.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import type { StateKey } from './state.ts';

/** A worker that cannot write stored states cannot have written any for its slot, unless it had more rights once. Nor without the table. */
const cannotWrite: readonly (string | undefined)[] = [
  sqlState.insufficientPrivilege,
  sqlState.readOnlyTransaction,
  sqlState.undefinedTable,
];

const noted =
  "update walwatch.existing e set owner = '' where e.slot operator(pg_catalog.=) $1 and e.owner operator(pg_catalog.<>) ''";

/**
 * Marks the stored states (subscription and table) that this worker does not continue: it acknowledges changes that they will not get.
 * Runs before streaming, and so before anything is acknowledged.
 */
export async function noteAbsence(
  client: Client,
  slot: string,
  present: readonly Pick<StateKey, 'subscription' | 'table'>[],
): Promise<void> {
  if (await foreignTable(client, 'existing')) return; // it is not used by any worker
  await note(
    client.query(
      `${noted}
         and not exists (select from rows from (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[])) p(subscription, table_name)
                         where p.subscription operator(pg_catalog.=) e.subscription and p.table_name operator(pg_catalog.=) e.table_name)`,
      [slot, present.map(({ subscription }) => subscription), present.map(({ table }) => table)],
    ),
  );
}

/** Notes in the stored state of a table that the subscription has ended and missed a change since. */
export async function noteMissed(
  client: Client,
  slot: string,
  { subscription, table }: Pick<StateKey, 'subscription' | 'table'>,
): Promise<void> {
  if (await foreignTable(client, 'existing')) return;
  await note(
    client.query(`${noted} and e.subscription operator(pg_catalog.=) $2 and e.table_name operator(pg_catalog.=) $3`, [
      slot,
      subscription,
      table,
    ]),
  );
}

async function note(update: Promise<unknown>): Promise<void> {
  try {
    await update;
  } catch (error) {
    if (!cannotWrite.includes(sqlStateOf(error))) throw error;
  }
}
