import type { Tuple } from '../postgres/pgoutput/messages.ts';
import type { RelationPlan } from '../watchers/plan.ts';
import type { UpdateType } from '../types/watchers.ts';
import type { Captured, LedgerTransaction } from './ledger.ts';

/** One change of one relation on its way from the decoder to the handlers. */
export class CapturedChange implements Captured {
  readonly transaction: LedgerTransaction;
  readonly ordinal: number;
  readonly type: UpdateType;
  readonly plan: RelationPlan;
  /** The new row; of a delete the old one. */
  readonly row: Tuple;
  /** Of an update, when PostgreSQL sent it. */
  readonly old: Tuple | undefined;
  /** What it takes in memory while it is held, roughly. */
  readonly bytes: number;
  holders = 0;
  /** What watchers with the same layout get, by its number: made for the first of them. */
  events: Readonly<Record<string, unknown>>[] | undefined = undefined;
  #eventId: string | undefined = undefined;

  constructor(
    transaction: LedgerTransaction,
    ordinal: number,
    type: UpdateType,
    plan: RelationPlan,
    row: Tuple,
    old: Tuple | undefined,
    bytes: number,
  ) {
    this.transaction = transaction;
    this.ordinal = ordinal;
    this.type = type;
    this.plan = plan;
    this.row = row;
    this.old = old;
    this.bytes = bytes;
  }

  /** A row that was read from the table, instead of a change of the stream. */
  get existing(): boolean {
    return false;
  }

  get eventId(): string {
    return (this.#eventId ??= `${this.transaction.commitLsn}/${this.ordinal}`);
  }
}
