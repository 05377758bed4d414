import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from '../postgres/session.ts';

interface SlotFacts {
  /** A walsender has it. */
  readonly active: boolean;
  /** It has not come to the position. */
  readonly behind: boolean;
}

/** Milliseconds between two looks. */
const interval = 5;

/**
 * Waits until the slot has come to a position that was acknowledged, but at most for `patience` milliseconds. Returns
 * whether it has.
 */
export async function untilConfirmed(session: Session, slot: string, lsn: string, patience: number): Promise<boolean> {
  return look(session, slot, lsn, patience, ({ behind }) => !behind);
}

/**
 * Waits until nobody has the slot, but at most for `patience` milliseconds, and then moves it to a position that was
 * acknowledged, unless it is there.
 */
export async function confirmOver(session: Session, slot: string, lsn: string, patience: number): Promise<void> {
  await look(session, slot, lsn, patience, ({ active }) => !active);
  await session.use((client) =>
    client.query(
      `select pg_catalog.pg_replication_slot_advance(slot_name, $2::pg_catalog.pg_lsn) from pg_catalog.pg_replication_slots
       where slot_name operator(pg_catalog.=) $1 and not active
         and confirmed_flush_lsn operator(pg_catalog.<) $2::pg_catalog.pg_lsn`,
      [slot, lsn],
    ),
  );
}

/** Looks at a slot until it is as wanted, or is gone. Returns whether that came in time. */
async function look(
  session: Session,
  slot: string,
  lsn: string,
  patience: number,
  isWanted: (facts: SlotFacts) => boolean,
): Promise<boolean> {
  for (const deadline = performance.now() + patience; ; await delay(interval)) {
    const { rows } = await session.use((client) =>
      client.query<SlotFacts>(
        `select active, confirmed_flush_lsn operator(pg_catalog.<) $2::pg_catalog.pg_lsn as behind
         from pg_catalog.pg_replication_slots where slot_name operator(pg_catalog.=) $1`,
        [slot, lsn],
      ),
    );
    if (!rows[0] || isWanted(rows[0])) return true;
    if (performance.now() > deadline) return false;
  }
}
