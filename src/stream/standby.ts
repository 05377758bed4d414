import { setTimeout as delay } from 'node:timers/promises';
import type { WatchError } from '../errors.ts';
import type { Session } from '../postgres/session.ts';
import { slotBlocked } from '../setup/slot-blocked.ts';

/** Milliseconds between two checks of a slot that another worker has. */
const standbyInterval = 250;
/** The same after terminating the other session, which reconnects soon: we must be faster. */
const terminatedInterval = 5;
/** Milliseconds between two checks of which sessions delay a temporary slot. */
const blockedInterval = 5000;

export interface StandbyHost {
  readonly closed: boolean;
  /** Another worker has the slot. Returns whether to terminate its session. */
  standby(activePid: number): boolean;
}

/** Waits as a standby while another worker has the slot. */
export async function waitForSlot(session: Session, slot: string, host: StandbyHost): Promise<void> {
  for (;;) {
    const { rows } = await session.use((client) =>
      client.query<{ active_pid: number | null }>(
        'select active_pid from pg_catalog.pg_replication_slots where slot_name operator(pg_catalog.=) $1',
        [slot],
      ),
    );
    const pid = rows[0]?.active_pid ?? undefined;
    if (pid === undefined || host.closed) return;
    const terminate = host.standby(pid);
    if (terminate) await session.use((client) => client.query('select pg_catalog.pg_terminate_backend($1)', [pid]));
    await delay(terminate ? terminatedInterval : standbyInterval);
  }
}

/** Reports sessions that delay the creation of a temporary slot, because the walsender does not. Runs until the timer is cleared. */
export function reportBlocked(
  session: Session,
  slot: string,
  blocked: (warning: WatchError) => void,
  failed: (error: unknown) => void,
): NodeJS.Timeout {
  return setInterval(() => {
    session.use((client) => slotBlocked(client, slot)).then(blocked, failed);
  }, blockedInterval);
}
