import { CapturedChange } from '../changes/change.ts';
import type { CapturedItem } from '../changes/stage.ts';

/** Keeps changes of one table in the gate until it is opened. */
export interface Barrier {
  /** Returns whether it was closed until now. */
  open(): boolean;
}

/** Has to know each change of a table before it is routed. */
interface Follower {
  before(change: CapturedChange): void;
}

/** The tables that are being read, by their OIDs: for the router, which asks before each change, and for the gate. */
export class Splices {
  readonly #readings = new Map<number, Set<Follower>>();
  readonly #barriers = new Map<number, Set<Barrier>>();

  add(table: number, reading: Follower): void {
    const there = this.#readings.get(table);
    if (there) there.add(reading);
    else this.#readings.set(table, new Set([reading]));
  }

  remove(table: number, reading: Follower): void {
    const there = this.#readings.get(table);
    there?.delete(reading);
    if (there?.size === 0) this.#readings.delete(table);
  }

  /** Gives the rows that must come before a change. */
  before(change: CapturedChange): void {
    const readings = this.#readings.get(change.plan.relation.oid);
    if (readings) for (const reading of readings) reading.before(change);
  }

  /** Until it is opened, the gate lets no change of the table pass: what it let pass before is seen by the snapshot. */
  close(table: number): Barrier {
    const barriers = this.#barriers.get(table) ?? new Set();
    this.#barriers.set(table, barriers);
    const barrier: Barrier = {
      open: () => {
        const closed = barriers.delete(barrier);
        if (barriers.size === 0 && this.#barriers.get(table) === barriers) this.#barriers.delete(table);
        return closed;
      },
    };
    barriers.add(barrier);
    return barrier;
  }

  /** The connection has ended: changes no longer wait for rows that were read beside it. */
  openAll(): void {
    this.#barriers.clear();
  }

  bars(captured: CapturedItem): boolean {
    return (
      this.#barriers.size > 0 && captured instanceof CapturedChange && this.#barriers.has(captured.plan.relation.oid)
    );
  }
}
