import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { quoteIdentifier } from '../postgres/server.ts';
import { readTogether } from '../postgres/round-trip.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { ConfigurationError } from '../errors.ts';
import { livePrefix, type ResolvedOptions } from '../options.ts';
import { heldLock } from './lock-holder.ts';
import { isMadeByWalwatch, parseComment } from './marker.ts';
import { terminateWalsender } from './walsender.ts';

/*
 * A temporary slot disappears with its connection, but a publication does not. Each session with a temporary slot holds a shared
 * advisory lock on its publication. Whoever gets the lock exclusively knows that no session uses the publication now.
 */

/** Called before anything is read. From then on, no other session treats the publication as an orphan. Drops those of killed processes. */
export async function claimLivePublication(
  client: Client,
  options: ResolvedOptions,
  pid: number | undefined,
): Promise<void> {
  const { name } = options.publication;
  const drops = options.manage === 'create' && name.startsWith(livePrefix);
  const [slot, , orphans] = await readTogether(client, () => [
    readHolder(client, options.slot.name),
    tryLock(client, 'pg_advisory_lock_shared', name), // a session that drops it holds the lock only for a moment
    drops ? readOrphans(client, name) : Promise.resolve([]),
  ]).catch(async (error: unknown) => {
    throw await lockError(client, name, error);
  });
  await freeName(client, options.slot.name, pid, slot);
  for (const orphan of orphans) await dropOrphan(client, orphan);
}

/**
 * Called at the end of a watch with a temporary slot, over its ordinary session. Ends the walsender if that still waits for the slot,
 * and drops the publication, if walwatch created it and no other session uses it.
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

interface Holder {
  readonly temporary: boolean;
  readonly pid: number | null;
}

async function readHolder(client: Client, name: string): Promise<Holder | undefined> {
  const { rows } = await client.query<Holder>(
    'select temporary, active_pid as pid from pg_catalog.pg_replication_slots where slot_name = $1',
    [name],
  );
  return rows[0];
}

/** A walsender of an earlier connection still has the slot, and so its name, until the server notices that its client is gone. */
async function freeName(client: Client, name: string, pid: number | undefined, first: Holder | undefined) {
  let slot = first;
  for (let tries = 0; tries < 50; tries++) {
    if (slot && !slot.temporary) {
      throw new ConfigurationError([{
        message: `'${name}' is a durable replication slot`,
        solution: 'Use another name for the temporary slot, or leave the name out.',
      }]); // prettier-ignore
    }
    const ours = name.startsWith(livePrefix) || slot?.pid === pid;
    if (!slot || slot.pid === null || !ours) return;
    await terminateWalsender(client, name, slot.pid);
    await delay(20);
    slot = await readHolder(client, name);
  }
}

/** Whether a temporary slot of another session reads the publication. */
export async function isReadLive(client: Client, name: string): Promise<boolean> {
  if (!(await lock(client, 'pg_try_advisory_lock', name))) return true;
  await lock(client, 'pg_advisory_unlock', name);
  return false;
}

/** Publications of live watches that this role owns. They may be in use. */
async function readOrphans(client: Client, own: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select pubname as name from pg_catalog.pg_publication
     where pg_catalog.starts_with(pubname::text, $1) and pubname <> $2 and pg_catalog.pg_has_role(pubowner, 'member')`,
    [livePrefix, own],
  );
  return rows.map(({ name }) => name);
}

/** Drops it unless a session uses it. A watch that is only waiting for its server creates it again. */
async function dropOrphan(client: Client, name: string): Promise<void> {
  if (!(await lock(client, 'pg_try_advisory_lock', name))) return;
  // Its owner waits for the lock before it reads.
  await client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`);
  await lock(client, 'pg_advisory_unlock', name);
}

async function dropUnused(client: Client, name: string): Promise<void> {
  const { rows } = await client.query<{ comment: string | null }>(
    `select pg_catalog.obj_description(oid, 'pg_publication') as comment from pg_catalog.pg_publication where pubname = $1`,
    [name],
  );
  const comment = parseComment(rows[0]?.comment ?? null);
  // A durable slot that reads the publication has its marker in it.
  if (!isMadeByWalwatch(comment, { publication: name, slot: name }) || comment.markers.length > 0) return;
  await client.query(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`);
}

type LockFunction = 'pg_advisory_lock_shared' | 'pg_try_advisory_lock' | 'pg_advisory_unlock';

async function lock(client: Client, how: LockFunction, name: string): Promise<boolean> {
  try {
    return await tryLock(client, how, name);
  } catch (error) {
    throw await lockError(client, name, error);
  }
}

async function tryLock(client: Client, how: LockFunction, name: string): Promise<boolean> {
  const { rows } = await client.query<{ done: unknown }>(
    `select pg_catalog.${how}(pg_catalog.hashtext($1), pg_catalog.hashtext($2)) as done`,
    [livePrefix, name],
  );
  return rows[0]!.done === true;
}

/** Names the holder of the lock, if the lock is why the query failed. */
async function lockError(client: Client, name: string, error: unknown): Promise<unknown> {
  if (sqlStateOf(error) !== sqlState.lockNotAvailable) return error;
  const what = `the publication '${name}'`;
  return (await heldLock(client, [livePrefix, name], { code: 'SLOT_BLOCKED', what, cause: error })) ?? error;
}
