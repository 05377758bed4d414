import type { Client } from 'pg';
import { WatchError } from '../errors.ts';
import { compareLsn } from '../postgres/lsn.ts';
import { quoteIdentifier, type Server, since } from '../postgres/server.ts';
import { type Marker, parseComment } from './marker.ts';

/** A slot of this database that no session reads, and what a publication's comment says about it. */
export interface IdleSlot {
  readonly name: string;
  readonly publication: string;
  readonly comment: string;
  readonly confirmed: string | null;
  /** Bytes of WAL that the server keeps for it. */
  readonly retained: number | null;
  /** No session has read it for a day. Unknown before PostgreSQL 17. */
  readonly long: boolean;
}

/** The slots that publications mention and no session reads now; and this worker's own slot, to compare them with. */
export async function readIdleSlots(client: Client, own: string, server: Pick<Server, 'major'>): Promise<IdleSlot[]> {
  const long =
    server.major >= since.inactiveSince
      ? `coalesce(s.inactive_since < pg_catalog.statement_timestamp() - '1 day'::interval, false)`
      : 'false';
  const { rows } = await client.query<IdleSlot>(
    `select s.slot_name as name, p.pubname as publication, p.comment, s.confirmed_flush_lsn::text as confirmed,
            pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::float8 as retained, ${long} as long
     from pg_catalog.pg_replication_slots s
     join (select pubname, pg_catalog.obj_description(oid, 'pg_publication') as comment
           from pg_catalog.pg_publication) p
       on pg_catalog.strpos(p.comment, s.slot_name::text) > 0
     where s.database = pg_catalog.current_database() and s.plugin = 'pgoutput' and not s.temporary
       and (not s.active or s.slot_name = $1)`,
    [own],
  );
  return rows;
}

/**
 * Slots that look like earlier names of this worker's slot: walwatch used them for watchers that this worker has too, and no session
 * has read them since this worker's slot was created, or for a day. The slot of another application whose worker is only stopped has
 * moved since. Pure.
 */
export function strayWarnings(idle: readonly IdleSlot[], own: string, watchers: readonly string[]): WatchError[] {
  const known = idle.flatMap((slot) => {
    const marker = parseComment(slot.comment).markers.find((one) => one.slot === slot.name);
    return marker ? [{ slot, marker }] : [];
  });
  const ours = known.find(({ slot }) => slot.name === own);
  if (!ours) return [];
  return known.flatMap(({ slot, marker }) =>
    isEarlier(slot, marker, ours.marker, watchers) ? [stray(slot, ours.slot)] : [],
  );
}

function isEarlier(
  { name, confirmed, long }: IdleSlot,
  { databaseOid, systemIdentifier, watchers = [] }: Marker,
  ours: Marker,
  wanted: readonly string[],
): boolean {
  if (name === ours.slot || confirmed === null) return false;
  // A copy of the database, or a restored server, has comments about slots that belong to others.
  if (databaseOid !== ours.databaseOid || systemIdentifier !== ours.systemIdentifier) return false;
  if (watchers.length === 0 || watchers.some((watcher) => !wanted.includes(watcher))) return false;
  return long || compareLsn(confirmed, ours.createdLsn) <= 0;
}

function stray({ name, publication, comment, retained }: IdleSlot, own: IdleSlot): WatchError {
  const { created, markers } = parseComment(comment);
  const unused = created === true && markers.length === 1 && publication !== own.publication;
  return new WatchError(
    'STRAY_SLOT',
    `no worker reads the slot '${name}', which a worker with the same watchers used before. It looks like an earlier name of '${own.name}', and makes the server keep ${retained === null ? 'WAL' : `${retained} bytes of WAL, and more with each write`}`,
    {
      solution: `If it is one: SELECT pg_catalog.pg_drop_replication_slot('${name}');${unused ? ` DROP PUBLICATION IF EXISTS ${quoteIdentifier(publication)};` : ''} If it belongs to another application whose worker is only stopped, leave it.`,
    },
  );
}
