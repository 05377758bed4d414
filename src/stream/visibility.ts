/** A parsed `pg_current_snapshot()`. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT */
export interface Snapshot {
  readonly xmin: number;
  readonly xmax: number;
  /** Running transactions between xmin and xmax. Undefined on a standby, which does not list them. */
  readonly inProgress: ReadonlySet<number> | undefined;
  /** On a standby: the transactions that were asked about and have committed. */
  readonly committed?: ReadonlySet<number>;
}

/** `'10:20:10,14'` → { xmin: 10, xmax: 20, inProgress: {10, 14} } */
export function parseSnapshot(text: string, inRecovery: boolean, committed: readonly string[] = []): Snapshot {
  const [xmin = '', xmax = '', list = ''] = text.split(':');
  return {
    xmin: Number(xmin),
    xmax: Number(xmax),
    inProgress: inRecovery ? undefined : new Set(list === '' ? [] : list.split(',').map(Number)),
    ...(committed.length > 0 && { committed: new Set(committed.map(Number)) }),
  };
}

const wrap = 2 ** 32;

/** Turns Begin's 32-bit xid into the 64-bit xid that is nearest to xmax. */
export function widenXid(xid: number, xmax: number): number {
  const near = Math.floor(xmax / wrap) * wrap + xid;
  if (near - xmax > wrap / 2) return near - wrap;
  if (xmax - near > wrap / 2) return near + wrap;
  return near;
}

/** Whether a new snapshot of another session sees the transaction. */
export function isVisible(xid: number, { xmin, xmax, inProgress, committed }: Snapshot): boolean {
  const full = widenXid(xid, xmax);
  if (full < xmin || committed?.has(full)) return true;
  return inProgress !== undefined && full < xmax && !inProgress.has(full);
}
