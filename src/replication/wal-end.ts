import type { Session } from '../catalog/session.ts';
import { type Lsn, parseLsn } from './lsn.ts';

/** Of the message that is written to have the WAL before it flushed. */
const flushPrefix = 'walwatch:flush';

/**
 * Where the server's WAL ends now: behind every commit that was answered before. All before it is flushed, so that the
 * walsender can reach it. On a standby server: the end of what it has replayed.
 */
export async function readWalEnd(session: Session): Promise<Lsn> {
  return session.use(async (client) => {
    // In this order: a commit between the two may make the second greater, but never too small.
    const { rows } = await client.query<{ written: string; flushed: string; block: number; segment: number }>(
      `select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_insert_lsn() end::text as written,
              case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_flush_lsn() end::text as flushed,
              (select setting::int from pg_catalog.pg_settings where name = 'wal_block_size') as block,
              (select setting::int from pg_catalog.pg_settings where name = 'wal_segment_size') as segment`,
    );
    const { written, flushed, block, segment } = rows[0]!;
    const end = endOfRecords(parseLsn(written), block, segment);
    if (parseLsn(flushed) < end) {
      // What an open transaction or synchronous_commit = off has written waits for somebody else's commit, on an idle
      // server for up to 15 s. So commit something, without waiting for a synchronous standby.
      await client
        .query(
          `select pg_catalog.set_config('synchronous_commit', 'local', true), pg_catalog.pg_logical_emit_message(true, $1, '')`,
          [flushPrefix],
        )
        .catch(() => {}); // then it comes when the server flushes by itself; a lost connection shows elsewhere
    }
    return end;
  });
}

/**
 * The end of the last record. Where the next one will begin, which is what PostgreSQL tells, is behind a page header when
 * the last one fills its page; but the walsender gets no further than the end.
 * https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/access/transam/xlog.c (XLogBytePosToRecPtr)
 */
export function endOfRecords(next: Lsn, blockSize: number, segmentSize: number): Lsn {
  const inPage = next % BigInt(blockSize);
  const header = next - inPage === next - (next % BigInt(segmentSize)) ? 40n : 24n;
  return inPage === header ? next - header : next;
}
