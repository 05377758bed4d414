import { CapturedChange } from '../changes/change.ts';
import type { CapturedItem } from '../changes/stage.ts';
import type { TableReading } from './table-reading.ts';

/** The tables that are being read, by their OIDs: for the router, which asks before each change, and for the gate. */
export class Splices {
  readonly #readings = new Map<number, Set<TableReading>>();
  readonly #barred = new Map<number, number>();

  add(table: number, reading: TableReading): void {
    const there = this.#readings.get(table);
    if (there) there.add(reading);
    else this.#readings.set(table, new Set([reading]));
  }

  remove(table: number, reading: TableReading): void {
    const there = this.#readings.get(table);
    there?.delete(reading);
    if (there?.size === 0) this.#readings.delete(table);
  }

  get active(): boolean {
    return this.#readings.size > 0;
  }

  /** Gives the rows that must come before a change. */
  before(change: CapturedChange): void {
    const readings = this.#readings.get(change.plan.relation.oid);
    if (readings) for (const reading of readings) reading.before(change);
  }

  /** Until it is opened, the gate lets no change of the table pass: what it let pass before is seen by the snapshot. */
  close(table: number): void {
    this.#barred.set(table, (this.#barred.get(table) ?? 0) + 1);
  }

  open(table: number): void {
    const count = (this.#barred.get(table) ?? 0) - 1;
    if (count > 0) this.#barred.set(table, count);
    else this.#barred.delete(table);
  }

  bars(captured: CapturedItem): boolean {
    return this.#barred.size > 0 && captured instanceof CapturedChange && this.#barred.has(captured.plan.relation.oid);
  }
}
