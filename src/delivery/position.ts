import type { Captured } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';

/** Orders what one subscription is called with: the later, the greater. */
export interface Position {
  readonly lsn: Lsn;
  readonly ordinal: number;
}

/** Where a subscription has come to once this is handled. */
export function positionOf({ transaction, eventId }: Captured): Position {
  // A transaction's id has no number: it is the only one of its commit.
  return {
    lsn: transaction.finalLsn,
    ordinal: Number(/\/[mn]?(\d+)$/.exec(eventId.slice(transaction.commitLsn.length))?.[1] ?? 0),
  };
}

export function isAfter(position: Position, other: Position): boolean {
  return position.lsn > other.lsn || (position.lsn === other.lsn && position.ordinal > other.ordinal);
}
