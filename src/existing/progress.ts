import { inspect } from 'node:util';
import type { ExistingRows } from '../types/delivery.ts';

interface TableProgress {
  rows: number;
  readonly estimated: number | undefined;
}

/** The progress of a subscription's existing rows, as the application sees it. */
export class Progress implements ExistingRows {
  readonly version: string;
  readonly #tables = new Map<string, TableProgress>();
  readonly #total: number;
  #reading = false;
  #finished = false;
  #done!: Promise<void>;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  /** `total`: of how many tables. */
  constructor(version: string, total: number) {
    this.version = version;
    this.#total = total;
    this.#promise();
  }

  get state(): ExistingRows['state'] {
    if (this.#finished) return 'done';
    return this.#reading ? 'reading' : 'waiting';
  }

  get rows(): number {
    let sum = 0;
    for (const { rows } of this.#tables.values()) sum += rows;
    return sum;
  }

  get estimatedRows(): number | undefined {
    if (this.#tables.size < this.#total) return undefined;
    let sum = 0;
    for (const { estimated } of this.#tables.values()) {
      if (estimated === undefined) return undefined;
      sum += estimated;
    }
    return sum;
  }

  get done(): Promise<void> {
    return this.#done;
  }

  /** The stored progress of a table is known. */
  table(name: string, rows: number, estimated: number | undefined): void {
    this.#tables.set(name, { rows, estimated });
  }

  /** `rows`: how many of the table are handled now. */
  handled(name: string, rows: number): void {
    const table = this.#tables.get(name);
    if (table) table.rows = rows;
  }

  /** Nothing has to be waited for before the next rows are read. */
  begin(): void {
    this.#reading = true;
  }

  finish(): void {
    this.#finished = true;
    this.#resolve();
  }

  /** Something is read, or read again. */
  again(): void {
    if (!this.#finished) return;
    this.#reading = this.#finished = false;
    this.#promise();
  }

  end(error: unknown): void {
    this.#reject(error);
  }

  toJSON(): Omit<ExistingRows, 'done'> {
    const { version, state, rows, estimatedRows } = this;
    return { version, state, rows, estimatedRows };
  }

  /** console.log() would not show getters. */
  [inspect.custom](): Omit<ExistingRows, 'done'> {
    return this.toJSON();
  }

  #promise(): void {
    this.#done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#done.catch(() => {}); // no unhandled rejection if the application does not await it
  }
}
