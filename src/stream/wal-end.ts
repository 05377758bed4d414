import type { Session } from '../postgres/session.ts';
import { type Lsn, parseLsn } from '../postgres/lsn.ts';

/** Of the message that is written to have the WAL before it flushed. */
const flushPrefix = 'walwatch:flush';

/**
 * Where the server's WAL ends now: behind every commit that was answered before. The walsender will get there without
 * anybody's doing. On a standby server: the end of what it has replayed.
 */
export function readWalEnd(session: Pick<Session, 'use'>): Promise<Lsn> {
  return session.use(async (client) => {
    // In this order: a commit between the two must not make the first look flushed.
    const { rows } = await client.query<{ written: string; flushed: string }>(
      `select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_insert_lsn() end::text as written,
              case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_flush_lsn() end::text as flushed`,
    );
    const { written, flushed } = rows[0]!;
    if (parseLsn(flushed) < parseLsn(written)) {
      // The walsender sends what is flushed. What an open transaction has written, or a commit with synchronous_commit =
      // off, waits for the next commit that flushes, on an idle server for up to 15 s; and where the last record fills
      // its page, `written` is behind the header of the next one. So commit something, without waiting for a standby.
      await client
        .query(
          `select pg_catalog.set_config('synchronous_commit', 'local', true), pg_catalog.pg_logical_emit_message(true, $1, '')`,
          [flushPrefix],
        )
        .catch(() => {}); // then it takes until the server flushes by itself; a lost connection shows elsewhere
    }
    return parseLsn(written);
  });
}
