import type { ExistingRows } from '../types/delivery.ts';

interface TableProgress {
  rows: number;
  readonly estimated: number | undefined;
}

/** What a subscription shows of the reading of its existing rows. */
export class Progress implements ExistingRows {
  readonly version: string;
  readonly #tables = new Map<string, TableProgress>();
  readonly #total: number;
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
    return this.#tables.size === 0 ? 'waiting' : 'reading';
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

  /** A table is looked at. */
  table(name: string, rows: number, estimated: number | undefined): void {
    this.#tables.set(name, { rows, estimated });
  }

  /** So many of its rows are handled. */
  handled(name: string, rows: number): void {
    const table = this.#tables.get(name);
    if (table) table.rows = rows;
  }

  finish(): void {
    this.#finished = true;
    this.#resolve();
  }

  /** Something is read, or read again. */
  again(): void {
    if (!this.#finished) return;
    this.#finished = false;
    this.#promise();
  }

  end(error: unknown): void {
    this.#reject(error);
  }

  toJSON(): Omit<ExistingRows, 'done'> {
    const { version, state, rows, estimatedRows } = this;
    return { version, state, rows, estimatedRows };
  }

  #promise(): void {
    this.#done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#done.catch(() => {}); // only who waits for it has to know
  }
}
