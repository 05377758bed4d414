import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from '../postgres/session.ts';
import { isVisible, parseSnapshot, type Snapshot, widenXid } from './visibility.ts';

/**
 * Asks the server which transactions a new snapshot of another session would see. `waiting` returns the xids in question,
 * which only a standby needs. Rejects when the connection is lost.
 */
export type TakeSnapshot = (waiting: () => readonly number[]) => Promise<Snapshot>;

/** Also asks whether the server is a standby: it may be promoted at any time without telling open sessions. */
const snapshotQuery = {
  name: 'walwatch_snapshot',
  text: 'select pg_catalog.pg_current_snapshot()::text as snapshot, pg_catalog.pg_is_in_recovery() as standby',
};

/** A standby's snapshot does not list running transactions, but a standby knows which transactions have committed. */
const standbyQuery = {
  name: 'walwatch_standby_snapshot',
  text: `
  select pg_catalog.pg_current_snapshot()::text as snapshot, pg_catalog.pg_is_in_recovery() as standby,
         (select pg_catalog.string_agg(x.xid, ',') from pg_catalog.unnest($1::text[]) x(xid)
          where pg_catalog.pg_xact_status(x.xid::pg_catalog.xid8) operator(pg_catalog.=) 'committed') as committed`,
};

interface Row {
  readonly snapshot: string;
  readonly standby: boolean;
  readonly committed?: string | null;
}

/** Sends each query at once, even if earlier ones are unanswered. */
export function snapshotsOf(session: Pick<Session, 'ask'>): TakeSnapshot {
  let last: Snapshot | undefined;
  return async (waiting) => {
    const onStandby = last !== undefined && last.inProgress === undefined;
    const { rows } = await (onStandby
      ? session.ask<Row>(
          standbyQuery,
          `{${waiting()
            .map((xid) => widenXid(xid, last!.xmax))
            .join()}}`,
        )
      : session.ask<Row>(snapshotQuery));
    const { snapshot, standby, committed } = rows[0]!;
    return (last = parseSnapshot(snapshot, standby, committed?.split(',')));
  };
}

const longestPause = 50;

/** Milliseconds until the next query after one without progress. A commit that waits for a standby may take long. */
export function nextPause(pause: number): number {
  return Math.min(longestPause, pause * 2 || 1);
}

/** Waits until other sessions see a transaction, which may be some time after its commit was received. */
export async function untilVisible(takeSnapshot: TakeSnapshot, xid: number): Promise<void> {
  for (let pause = 0; !isVisible(xid, await takeSnapshot(() => [xid]));) {
    pause = nextPause(pause);
    await delay(pause);
  }
}
