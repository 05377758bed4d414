import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from '../postgres/session.ts';
import { isVisible, parseSnapshot, type Snapshot } from './visibility.ts';

/** Asks the server what a new snapshot of another session would see. Rejects when the connection is lost. */
export type TakeSnapshot = () => Promise<Snapshot>;

export function snapshotsOf(session: Session, inRecovery: boolean): TakeSnapshot {
  return async () => {
    const { rows } = await session.use((client) =>
      client.query<{ snapshot: string }>('select pg_catalog.pg_current_snapshot()::text as snapshot'),
    );
    return parseSnapshot(rows[0]!.snapshot, inRecovery);
  };
}

const longestPause = 50;

/** Milliseconds until the next question, after one that was in vain: a commit that waits for a standby may take long. */
export function nextPause(pause: number): number {
  return Math.min(longestPause, pause * 2 || 1);
}

/** Waits until other sessions see what a transaction did, which may be after its commit was received. */
export async function untilVisible(takeSnapshot: TakeSnapshot, xid: number): Promise<void> {
  for (let pause = 0; !isVisible(xid, await takeSnapshot());) {
    pause = nextPause(pause);
    await delay(pause);
  }
}
