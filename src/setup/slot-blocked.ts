import type { Client } from 'pg';
import { WatchError } from '../errors.ts';
import { quoteLiteral } from '../postgres/server.ts';
import { oneLine } from '../printable.ts';

/** Maximum number of transactions for which the solution has a statement. */
const most = 10;

/** Names the open transactions that write: creating a slot waits until all of them have ended. */
export async function slotBlocked(client: Client, name: string, cause?: unknown): Promise<WatchError> {
  const { rows } = await client.query<{ who: string; pid: number | null; gid: string | null; hidden: boolean }>(
    `select pg_catalog.concat('pid ', pid::text, ' (', coalesce(nullif(application_name, ''), usename::text),
                              ', since ' || xact_start::timestamptz(0)::text, ')') as who,
            pid, null as gid, xact_start is null as hidden
     from pg_catalog.pg_stat_activity
     where backend_xid is not null and pid <> pg_catalog.pg_backend_pid()
     union all
     select 'prepared transaction', null, gid, false from pg_catalog.pg_prepared_xacts`,
  );
  const standby = (await client.query<{ standby: boolean }>('select pg_catalog.pg_is_in_recovery() as standby'))
    .rows[0]!.standby;
  const message = `creating the slot '${name}' waits for`;
  if (standby) {
    return new WatchError(
      'SLOT_BLOCKED',
      `${message} the primary to send its list of running transactions to this standby`,
      {
        solution:
          'walwatch tries again. An idle primary rarely sends it. On the primary (PostgreSQL 16 and newer): SELECT pg_catalog.pg_log_standby_snapshot();',
        cause,
      },
    );
  }
  const named = rows.map((row) => (row.gid === null ? oneLine(row.who) : `${row.who} ${quoteLiteral(row.gid)}`));
  const who = named.join(', ') || 'transactions that have ended in the meantime';
  const ends = rows
    .slice(0, most)
    .map(({ pid, gid }) =>
      gid === null ? `SELECT pg_catalog.pg_terminate_backend(${pid});` : `ROLLBACK PREPARED ${quoteLiteral(gid)};`,
    );
  const end = ends.length === 0 ? '' : ` End them (needs their role, or pg_signal_backend): ${ends.join(' ')}`;
  const hidden = rows.some((row) => row.hidden) ? ' Only members of pg_read_all_stats can see since when.' : '';
  return new WatchError('SLOT_BLOCKED', `${message} transactions that are writing: ${who}`, {
    solution: `walwatch tries again.${end}${hidden}`,
    cause,
  });
}
