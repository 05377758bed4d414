import type { Session } from '../postgres/session.ts';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';

/** The prefix of the message that makes the server flush its WAL. */
const flushPrefix = 'walwatch:flush';

/**
 * Where the server's WAL ends now: after every commit confirmed so far. Makes sure that the walsender will reach this
 * position even on an idle server. On a standby: the end of what it has replayed.
 */
export function readWalEnd(session: Pick<Session, 'use'>): Promise<Lsn> {
  return session.use(async (client) => {
    // Written before flushed: otherwise a commit between the two reads would make `written` look flushed.
    const { rows } = await client.query<{ written: string; flushed: string }>(
      `select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_insert_lsn() end::text as written,
              case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_flush_lsn() end::text as flushed`,
    );
    const { written, flushed } = rows[0]!;
    if (parseLsn(flushed) < parseLsn(written)) {
      // The walsender sends only flushed WAL. Records of open transactions and of commits with synchronous_commit = off wait
      // for the next flushing commit, on an idle server up to 15 s. And if the last record fills its page, `written` is
      // after the next page's header. So we commit a message ourselves, without waiting for a standby.
      await client
        .query(
          `select pg_catalog.set_config('synchronous_commit', 'local', true), pg_catalog.pg_logical_emit_message(true, $1, '')`,
          [flushPrefix],
        )
        .catch(() => {}); // then the server's own flush must be awaited; a lost connection is noticed elsewhere
    }
    return parseLsn(written);
  });
}
