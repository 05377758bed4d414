import type { Client } from 'pg';
import { applicationName } from './judge.ts';

/** Ends the session of a slot's walsender, but only if that process ID still belongs to it. */
export async function terminateWalsender(client: Client, slot: string, pid: number): Promise<void> {
  await client.query(
    `select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
     where pid operator(pg_catalog.=) $1 and application_name operator(pg_catalog.=) pg_catalog.left($2, 63)`,
    [pid, applicationName(slot)],
  );
}
