import type { Client } from 'pg';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';
import { oneLine } from '../printable.ts';
import type { ExistingStream } from './existing-stream.ts';

/** Milliseconds after which the transactions in the way are named, and between two such messages. */
const firstWarning = 5000;
const nextWarning = 60_000;

/** Waits until all transactions that were writing when this was called have ended. `blocked` names those that take long. */
export async function untilSettled(stream: ExistingStream, blocked: (by: string) => void): Promise<void> {
  // Not the xmax of a snapshot: that is the highest *completed* xid + 1, and a running writer may be above it.
  const xid = await stream.use(ownXid);
  let warnAt = Date.now() + firstWarning;
  for (let pause = 10; !stream.closed; pause = Math.min(1000, pause * 2)) {
    if ((await stream.use(oldestWriter)) > xid) return;
    if (Date.now() > warnAt) {
      warnAt = Date.now() + nextWarning;
      blocked(await stream.use(writers));
    }
    await stream.wait(pause);
  }
}

/** Everything that is written by now is before this position. */
export async function currentLsn(client: Client): Promise<Lsn> {
  const { rows } = await client.query<{ lsn: string }>(
    'select pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text as lsn',
  );
  return parseLsn(rows[0]!.lsn);
}

/** A new transaction id: every transaction that writes by now has a lower one. */
async function ownXid(client: Client): Promise<bigint> {
  const { rows } = await client.query<{ xid: string }>(
    'select pg_catalog.pg_current_xact_id()::pg_catalog.text as xid',
  );
  return BigInt(rows[0]!.xid);
}

/** The lowest id of the transactions that run; without any, the next one. */
async function oldestWriter(client: Client): Promise<bigint> {
  const { rows } = await client.query<{ xmin: string }>(
    'select pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.text as xmin',
  );
  return BigInt(rows[0]!.xmin);
}

/** Who is writing, the oldest first. */
async function writers(client: Client): Promise<string> {
  const { rows } = await client.query<{ who: string }>(
    `(select pg_catalog.format('process %s (%s) since %s', a.pid, coalesce(nullif(a.application_name, ''), a.usename::pg_catalog.text),
                               pg_catalog.to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS')) as who, a.xact_start as at
      from pg_catalog.pg_stat_activity a where a.backend_xid is not null)
     union all
     select pg_catalog.format('prepared transaction %L since %s', x.gid, pg_catalog.to_char(x.prepared, 'YYYY-MM-DD HH24:MI:SS')), x.prepared
     from pg_catalog.pg_prepared_xacts x
     order by at limit 5`,
  );
  return rows.map(({ who }) => oneLine(who)).join(', ') || 'unknown';
}
