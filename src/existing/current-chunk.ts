import type { Snapshot } from '../stream/visibility.ts';
import type { ChunkRow } from './chunk-row.ts';
import { lastKeyOf } from './handled-rows.ts';
import { idOf, type KeyTexts } from './key-order.ts';

/** The rows of a chunk, as they come: first those of the list, then the range in the order of its keys. */
export class CurrentChunk {
  /** The key up to which the table was read before. */
  readonly start: KeyTexts | undefined;
  /** Undefined: no chunk was read, or it is over. */
  snapshot: Snapshot | undefined;
  readonly rows: ChunkRow[] = [];
  /** Rows that were handled before it was read, by id. */
  readonly passed: string[] = [];
  /** More rows come. */
  arrives: boolean;
  /** Rows that are not given yet. */
  pending = 0;
  /** Rows that are given and not handled. */
  given = 0;
  /** Rows at the beginning that are handled. */
  prefix = 0;
  #last: KeyTexts | undefined;
  /** All rows have come. */
  #isComplete: boolean;
  /** The next row that may be given. */
  #next = 0;
  /** Made when it is needed. */
  #byId: Map<string, ChunkRow> | undefined;

  /** Without a snapshot it has no rows. */
  constructor(start: KeyTexts | undefined, snapshot?: Snapshot) {
    this.start = this.#last = start;
    this.snapshot = snapshot;
    this.arrives = snapshot !== undefined;
    this.#isComplete = !this.arrives;
  }

  /** All rows are here and handled. */
  get isHandled(): boolean {
    return this.#isComplete && this.prefix === this.rows.length;
  }

  /** The last key that is known to be scanned. */
  get last(): KeyTexts | undefined {
    return this.#last;
  }

  /** Of two rows with the same key, one of which must be of the list, the first counts. */
  add(row: ChunkRow): void {
    if (row.reread) this.#index();
    if (this.#byId?.has(row.id)) return;
    this.#byId?.set(row.id, row);
    this.rows.push(row);
    this.pending++;
  }

  /** `last`: undefined: the range has no more rows. */
  complete(last: KeyTexts | undefined): void {
    this.#last = last ?? this.start;
    this.#isComplete = true;
    this.arrives = false;
  }

  /** Nothing more of it is given. */
  discard(): void {
    this.snapshot = undefined;
    this.arrives = false;
    this.pending = 0;
    this.#next = this.rows.length;
  }

  at(key: KeyTexts): ChunkRow | undefined {
    return this.#index().get(idOf(key));
  }

  /** The first row that waits. */
  next(): ChunkRow | undefined {
    const { rows } = this;
    while (this.#next < rows.length && rows[this.#next]!.stage !== 'pending') this.#next++;
    return rows[this.#next];
  }

  /** The key up to which the table is read when this number of rows is handled. */
  cursorAt(prefix: number): KeyTexts | undefined {
    const { rows, start } = this;
    return this.#isComplete && prefix === rows.length ? this.#last : lastKeyOf(rows, prefix, start);
  }

  #index(): Map<string, ChunkRow> {
    return (this.#byId ??= new Map(this.rows.map((row) => [row.id, row])));
  }
}
