import type { UpdateType } from '../watchers/types.ts';
import type { Occurrence } from './occurrence.ts';
import type { EventContext } from './types.ts';

/** The second argument of a handler. What few handlers read is made when it is read. */
export class HandlerContext implements EventContext {
  readonly watcher: string;
  readonly type: UpdateType;
  readonly schema: string;
  readonly table: string;
  readonly eventId: string;
  readonly commitLsn: string;
  readonly ordinal: number;
  readonly xid: number;
  readonly committedAt: Date;
  readonly absent: readonly string[];
  readonly attempt: number;
  readonly #occurrence: Occurrence;
  #abortion: AbortController | undefined;

  constructor(occurrence: Occurrence, attempt: number) {
    const { change, planned } = occurrence;
    const { transaction } = change;
    this.watcher = planned.bound.watcher.name;
    this.type = change.type;
    this.schema = planned.bound.table.schema;
    this.table = planned.bound.table.name;
    this.eventId = change.eventId;
    this.commitLsn = transaction.commitLsn;
    this.ordinal = change.ordinal;
    this.xid = transaction.xid;
    this.committedAt = transaction.committedAt;
    this.absent = occurrence.absent;
    this.attempt = attempt;
    this.#occurrence = occurrence;
  }

  get previous(): Readonly<Record<string, unknown>> {
    return this.#occurrence.previous;
  }

  get signal(): AbortSignal {
    return (this.#abortion ??= new AbortController()).signal;
  }

  /** Aborts the signal of a context. Not a method, because contexts are the user's to hold. */
  static abort(context: HandlerContext, reason: unknown): void {
    (context.#abortion ??= new AbortController()).abort(reason);
  }
}
