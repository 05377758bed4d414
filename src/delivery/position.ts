import type { Captured } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';

/** A delivery's place in the order in which one subscription receives events. */
export interface Place {
  readonly lsn: Lsn;
  readonly ordinal: number;
  /** For a row change: the watcher of the list that delivers it. */
  readonly watcher: string;
}

/** A subscription's position: everything before it is handled. Of the change at it, the deliveries of `watchers` are handled. */
export interface Position {
  readonly lsn: Lsn;
  readonly ordinal: number;
  /** Undefined: all watchers. */
  readonly watchers: readonly string[] | undefined;
}

export const nowhere: Position = { lsn: 0n, ordinal: -1, watchers: undefined };

export function placeOf({ transaction, eventId }: Captured, watcher = ''): Place {
  // A transaction's event id has no number, because it is the only event of its commit.
  const ordinal = Number(/\/[mn]?(\d+)$/.exec(eventId.slice(transaction.commitLsn.length))?.[1] ?? 0);
  return { lsn: transaction.finalLsn, ordinal, watcher };
}

export function isAfter(place: Place, position: Position): boolean {
  if (isAt(place, position)) return position.watchers !== undefined && !position.watchers.includes(place.watcher);
  return place.lsn > position.lsn || (place.lsn === position.lsn && place.ordinal > position.ordinal);
}

/** The position after the deliveries at these places, in order, are handled as well. */
export function moved(position: Position, places: readonly Place[]): Position {
  const last = places.at(-1)!;
  const there = places.filter((place) => isAt(place, last)).map(({ watcher }) => watcher);
  const before = isAt(last, position) ? (position.watchers ?? []) : [];
  return { lsn: last.lsn, ordinal: last.ordinal, watchers: [...before, ...there] };
}

function isAt(place: Place, { lsn, ordinal }: Pick<Place, 'lsn' | 'ordinal'>): boolean {
  return place.lsn === lsn && place.ordinal === ordinal;
}
