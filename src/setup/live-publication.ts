import type { Client } from 'pg';
import { quoteIdentifier } from '../postgres/server.ts';
import { livePrefix, type ResolvedOptions } from '../options.ts';

/**
 * A temporary slot vanishes with its connection, a publication does not. One that was made for a temporary slot belongs
 * to the session that holds its advisory lock; a lock that is free shows that the process was killed.
 */
export function isLivePublication({ slot, publication }: ResolvedOptions): boolean {
  return slot.temporary && publication.name.startsWith(livePrefix);
}

export async function lockLivePublication(client: Client, name: string): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>(
    `select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext($1), pg_catalog.hashtext($2)) as locked`,
    [livePrefix, name],
  );
  return rows[0]!.locked;
}

export async function dropPublication(client: Client, name: string): Promise<void> {
  await client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`);
}

/** Drops those of processes that were killed, as far as this role owns them. */
export async function dropOrphanedPublications(client: Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select pubname as name from pg_catalog.pg_publication
     where pg_catalog.starts_with(pubname::text, $1) and pg_catalog.pg_has_role(pubowner, 'member')`,
    [livePrefix],
  );
  for (const { name } of rows) {
    if (!(await lockLivePublication(client, name))) continue;
    await dropPublication(client, name);
    await client.query(`select pg_catalog.pg_advisory_unlock(pg_catalog.hashtext($1), pg_catalog.hashtext($2))`, [
      livePrefix,
      name,
    ]);
  }
}
