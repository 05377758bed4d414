import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { quoteIdentifier } from '../postgres/server.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { ConfigurationError } from '../errors.ts';
import { livePrefix, type ResolvedOptions } from '../options.ts';
import { heldLock } from './lock-holder.ts';
import { isMadeByWalwatch, parseComment } from './marker.ts';
import { terminateWalsender } from './walsender.ts';

/*
 * A temporary slot vanishes with its connection, a publication does not. Each session with a temporary slot shares an
 * advisory lock on its publication; a lock that can be had alone shows that nobody uses the publication now.
 */

/** Before anything is read: from here on nobody takes the publication for an orphan. Clears away those of killed processes. */
export async function claimLivePublication(
  client: Client,
  options: ResolvedOptions,
  pid: number | undefined,
): Promise<void> {
  await freeName(client, options.slot.name, pid);
  const { name } = options.publication;
  await lock(client, 'pg_advisory_lock_shared', name); // who drops it has the lock for a moment only
  if (options.manage === 'create' && name.startsWith(livePrefix)) await dropOrphanedPublications(client, name);
}

/**
 * At the end of a watch with a temporary slot, over its ordinary session: ends the walsender if it still waits for the
 * slot, and drops the publication, if walwatch made it and nobody else uses it.
 */
export async function leaveNothing(
  client: Client,
  { slot, publication, manage }: ResolvedOptions,
  walsender: number | undefined,
): Promise<void> {
  if (walsender !== undefined) await terminateWalsender(client, slot.name, walsender);
  if (manage === 'verify') return;
  const { name } = publication;
  if (await lock(client, 'pg_try_advisory_lock', name)) await dropUnused(client, name);
}

/** A walsender of an earlier connection that the server has not given up still has the slot, and with it its name. */
async function freeName(client: Client, name: string, pid: number | undefined): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const { rows } = await client.query<{ temporary: boolean; pid: number | null }>(
      'select temporary, active_pid as pid from pg_catalog.pg_replication_slots where slot_name = $1',
      [name],
    );
    const [slot] = rows;
    if (slot && !slot.temporary) {
      throw new ConfigurationError([{
        message: `'${name}' is a durable replication slot`,
        solution: 'Give the temporary slot another name, or leave the name out.',
      }]); // prettier-ignore
    }
    const ours = name.startsWith(livePrefix) || slot?.pid === pid;
    if (!slot || slot.pid === null || !ours) return;
    await terminateWalsender(client, name, slot.pid);
    await delay(20);
  }
}

/** Whether a temporary slot of another session reads the publication. */
export async function isReadLive(client: Client, name: string): Promise<boolean> {
  if (!(await lock(client, 'pg_try_advisory_lock', name))) return true;
  await lock(client, 'pg_advisory_unlock', name);
  return false;
}

/** As far as this role owns them, and nobody uses them. One that only waits for its server makes it anew. */
async function dropOrphanedPublications(client: Client, own: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select pubname as name from pg_catalog.pg_publication
     where pg_catalog.starts_with(pubname::text, $1) and pubname <> $2 and pg_catalog.pg_has_role(pubowner, 'member')`,
    [livePrefix, own],
  );
  for (const { name } of rows) {
    if (!(await lock(client, 'pg_try_advisory_lock', name))) continue;
    // Its owner waits for the lock before it looks.
    await client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`);
    await lock(client, 'pg_advisory_unlock', name);
  }
}

async function dropUnused(client: Client, name: string): Promise<void> {
  const { rows } = await client.query<{ comment: string | null }>(
    `select pg_catalog.obj_description(oid, 'pg_publication') as comment from pg_catalog.pg_publication where pubname = $1`,
    [name],
  );
  const comment = parseComment(rows[0]?.comment ?? null);
  // A durable slot that reads it has its marker there.
  if (!isMadeByWalwatch(comment, { publication: name, slot: name }) || comment.markers.length > 0) return;
  await client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`);
}

async function lock(
  client: Client,
  how: 'pg_advisory_lock_shared' | 'pg_try_advisory_lock' | 'pg_advisory_unlock',
  name: string,
): Promise<boolean> {
  try {
    const { rows } = await client.query<{ done: unknown }>(
      `select pg_catalog.${how}(pg_catalog.hashtext($1), pg_catalog.hashtext($2)) as done`,
      [livePrefix, name],
    );
    return rows[0]!.done === true;
  } catch (error) {
    if (sqlStateOf(error) !== sqlState.lockNotAvailable) throw error;
    const what = `the publication '${name}'`;
    throw (await heldLock(client, [livePrefix, name], { code: 'SLOT_BLOCKED', what, cause: error })) ?? error;
  }
}
