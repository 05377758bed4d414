import type { Level } from './output.ts';

/** One requirement, and whether the database meets it. */
export interface Check {
  readonly name: string;
  /** The table that it concerns. */
  readonly table?: string | undefined;
  readonly level: Level;
  /** The current state. */
  readonly found: string;
  /** Why it matters. */
  readonly why: string;
  /** The SQL or setting that fixes it. */
  readonly fix?: string | undefined;
}

/** A check with the level `ok`, or with `level` and `fix`. */
export function check(right: boolean, level: Exclude<Level, 'ok'>, { fix, ...facts }: Omit<Check, 'level'>): Check {
  return right ? { ...facts, level: 'ok' } : { ...facts, level, fix };
}
