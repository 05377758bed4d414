import type { Level } from './output.ts';

/** One requirement, and how the database stands to it. */
export interface Check {
  readonly name: string;
  /** Whose it is. */
  readonly table?: string | undefined;
  readonly level: Level;
  /** What there is. */
  readonly found: string;
  /** Why it matters. */
  readonly why: string;
  /** The SQL or setting that changes it. */
  readonly fix?: string | undefined;
}

/** A check that is all right, or else at `level` with its `fix`. */
export function check(right: boolean, level: Exclude<Level, 'ok'>, { fix, ...facts }: Omit<Check, 'level'>): Check {
  return right ? { ...facts, level: 'ok' } : { ...facts, level, fix };
}
