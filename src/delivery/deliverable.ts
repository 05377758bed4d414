import type { HandlerContext } from './context.ts';
import type { Captured } from '../changes/ledger.ts';
import type { Letter } from './letter.ts';

/** A row, as SQL finds it by its key. */
export interface NamedRow {
  readonly table: string;
  readonly condition: string;
}

/** Something that a handler is called for: a change, message, batch or transaction. */
export interface Deliverable {
  readonly change: Captured;
  /** The watcher that delivers a row change. */
  readonly watcher?: string;
  /** The handler's first argument. */
  readonly event: unknown;
  /** Deliveries that share a record are handled one after the other. */
  readonly records: readonly string[];
  /** It may concern any record, so it waits for everything before it and blocks everything after it. */
  readonly barrier?: boolean;
  /** It is not collected into a batch. */
  readonly alone?: boolean;
  /** Whether this one has every value of an older change of the same record. */
  replaces?(older: Deliverable): boolean;
  /** The handler's second argument. `whole`: the context of the batch that this is part of. */
  context(attempt: number, whole?: HandlerContext): HandlerContext;
  /** One context for the first attempt of all subscriptions that have no timeout and no `transaction`. */
  readonly shared?: HandlerContext;
  /** The row that it is about, for SQL that shows it. */
  readonly row?: NamedRow | undefined;
  /** The dead letter to keep if it cannot be handled. */
  letter(): Letter;
  /** The events of a batch. */
  readonly parts?: readonly Deliverable[];
  /** The parts that are passed to the handler. */
  readonly delivered?: readonly Deliverable[];
  /** Its handler is called before all of it has been received. */
  readonly streamed?: boolean;
  /** False: part of it has been dropped from memory, so no further attempt is possible. */
  readonly repeatable?: boolean;
  /** For a streamed one: the error that the handler received instead of the remaining changes. The attempt has failed. */
  readonly failure?: unknown;
  /** Every attempt would receive the same error. */
  readonly permanent?: boolean;
  /** It is delivered again from the start, so a failure has no consequences. */
  readonly outdated?: boolean;
  /** It was handled, skipped or dropped. */
  settled?(): void;
}
