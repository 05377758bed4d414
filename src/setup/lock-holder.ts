import type { Client } from 'pg';
import { quoteLiteral } from '../postgres/server.ts';
import { oneLine } from '../printable.ts';
import { WatchError, type WatchErrorCode } from '../errors.ts';

/** The two names that identify one of walwatch's advisory locks. */
export type LockName = readonly [space: string, name: string];

interface Holder {
  readonly pid: number | null;
  readonly role: string | null;
  readonly application: string | null;
  /** Since when the session is connected. Null: walwatch's role may not see it. */
  readonly since: string | null;
  /** Name of a prepared transaction. */
  readonly gid: string | null;
}

/**
 * Any role that may connect to the database can take an advisory lock. So each wait for one is limited, and ends with an error that
 * names the holder. Undefined: the lock is free now.
 */
export async function heldLock(
  client: Client,
  [space, name]: LockName,
  { code, what, cause }: { readonly code: WatchErrorCode; readonly what: string; readonly cause?: unknown },
): Promise<WatchError | undefined> {
  const { rows } = await client.query<Holder>(
    `select l.pid, coalesce(a.usename, x.owner)::pg_catalog.text as role, a.application_name as application,
            coalesce(a.backend_start, x.prepared)::pg_catalog.timestamptz(0)::pg_catalog.text as since, x.gid
     from pg_catalog.pg_locks l
          left join pg_catalog.pg_stat_activity a on a.pid = l.pid
          left join pg_catalog.pg_locks t on l.pid is null and t.pid is null and t.virtualtransaction = l.virtualtransaction and t.locktype = 'transactionid'
          left join pg_catalog.pg_prepared_xacts x on x.transaction = t.transactionid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2
           and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
           and l.classid = pg_catalog.hashtext($1)::pg_catalog.oid and l.objid = pg_catalog.hashtext($2)::pg_catalog.oid
           and l.pid is distinct from pg_catalog.pg_backend_pid()
     order by l.pid`,
    [space, name],
  );
  if (rows.length === 0) return undefined;
  return new WatchError(code, `${what} waits for an advisory lock held by ${rows.map(described).join(', ')}`, {
    solution:
      'walwatch tries again. If another of your workers is starting, there is nothing to do. Otherwise end the holder: ' +
      `${rows.map(ending).join(' ')} (needs its role, or pg_signal_backend), and keep its role out: REVOKE CONNECT ON DATABASE … FROM …;`,
    cause,
  });
}

function described({ pid, role, application, since, gid }: Holder): string {
  const facts = [
    ...(role === null ? [] : [`role '${oneLine(role)}'`]),
    ...(application ? [`application_name '${oneLine(application)}'`] : []),
    ...(since === null ? [] : [`since ${since}`]),
  ];
  const prepared =
    gid === null ? 'a prepared transaction (see pg_prepared_xacts)' : `the prepared transaction ${quoteLiteral(gid)}`;
  const who = pid === null ? prepared : `pid ${pid}`;
  return facts.length === 0 ? who : `${who} (${facts.join(', ')})`;
}

function ending({ pid, gid }: Holder): string {
  return pid === null
    ? `ROLLBACK PREPARED ${quoteLiteral(gid ?? '…')};`
    : `SELECT pg_catalog.pg_terminate_backend(${pid});`;
}
