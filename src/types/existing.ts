/** Options of `events` on a watch that owns its slot. */
export interface EventsOptions {
  readonly signal?: AbortSignal;
  /** Needed with `existing`. */
  readonly name?: string;
  readonly existing?: string | ExistingOptions;
}

/**
 * How existing rows are read.
 *
 * @example
 * ```ts
 * watch.subscribe(['orders:inserted', 'orders:updated', 'orders:deleted'], index, { name: 'search', existing: { version: 'v2', chunk: 500 } });
 * ```
 */
export interface ExistingOptions {
  /** Names the run: the same version resumes, and does nothing once it is done. */
  readonly version: string;
  /** Most rows that are read at once. Default: about 20 milliseconds' worth. */
  readonly chunk?: number;
  /** After changes were lost (`gap`): read all rows again (default), or not. */
  readonly afterGap?: 'read' | 'ignore';
}

/** How far the existing rows of a subscription are read. */
export interface ExistingRows {
  readonly version: string;
  readonly state: 'waiting' | 'reading' | 'done';
  /** Handled so far, of all tables. */
  readonly rows: number;
  /** Of all tables, by PostgreSQL's statistics. Undefined: without statistics, with a row filter, or before the last table is reached. */
  readonly estimatedRows: number | undefined;
  /** Resolves when every existing row has been handled. Rejects when the subscription or the watch ends before. Never an unhandled
   *  rejection. After a gap, when the rows are read again, it is another promise. */
  readonly done: Promise<void>;
}
