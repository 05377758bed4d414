import type { Annotations } from '../types/delivery.ts';
import type { Tuple } from '../postgres/pgoutput/messages.ts';
import type { RelationPlan } from '../watchers/plan.ts';
import type { UpdateType } from '../types/watchers.ts';
import { noAnnotations } from './annotations.ts';
import type { Captured, LedgerTransaction } from './ledger.ts';

/** A change of one relation, between the decoder and the handlers. */
export class CapturedChange implements Captured {
  readonly transaction: LedgerTransaction;
  readonly ordinal: number;
  readonly type: UpdateType;
  readonly plan: RelationPlan;
  /** The new row; for a delete, the old row. */
  readonly row: Tuple;
  /** The old row of an update, if PostgreSQL sent it. */
  readonly old: Tuple | undefined;
  /** Bytes of memory that it takes while it is held, roughly. */
  readonly bytes: number;
  readonly annotations: Annotations;
  holders = 0;
  /** Events for watchers with the same layout, by layout number. Made for the first of these watchers. */
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
    annotations: Annotations = noAnnotations,
  ) {
    this.transaction = transaction;
    this.ordinal = ordinal;
    this.type = type;
    this.plan = plan;
    this.row = row;
    this.old = old;
    this.bytes = bytes;
    this.annotations = annotations;
  }

  /** A row that was read from the table, instead of a change of the stream. */
  get existing(): boolean {
    return false;
  }

  get eventId(): string {
    return (this.#eventId ??= `${this.transaction.commitLsn}/${this.ordinal}`);
  }
}
