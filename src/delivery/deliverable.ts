import type { HandlerContext } from './context.ts';
import type { Captured } from '../changes/ledger.ts';
import type { Letter } from './letter.ts';

/** A row as SQL finds it: by its key. */
export interface NamedRow {
  readonly table: string;
  readonly condition: string;
}

/** What a handler is called with. */
export interface Deliverable {
  readonly change: Captured;
  /** Of a row change: the watcher that delivers it. */
  readonly watcher?: string;
  /** The handler's first argument. */
  readonly event: unknown;
  /** What must not be handled at the same time as anything else of the same name. */
  readonly records: readonly string[];
  /** It may concern any record: it waits for all before it, and all after it wait for it. */
  readonly barrier?: boolean;
  /** Whether an older change of the same record tells nothing that this one does not. */
  replaces?(older: Deliverable): boolean;
  /** The handler's second argument. `whole`: of the batch that this is a part of. */
  context(attempt: number, whole?: HandlerContext): HandlerContext;
  /** The same for the first attempts of all who neither time out nor put anything into it. */
  readonly shared?: HandlerContext;
  /** The row that it is about, for SQL that shows it. */
  readonly row?: NamedRow | undefined;
  /** What is kept of it when it cannot be handled. */
  letter(): Letter;
  /** Of a batch: what it holds. */
  readonly parts?: readonly Deliverable[];
  /** Those of the parts that are handed over. */
  readonly delivered?: readonly Deliverable[];
  /** It comes piece by piece: its handler is called before all of it is there. */
  readonly streamed?: boolean;
  /** False: a part of it is gone already, so that there can be no further attempt. */
  readonly repeatable?: boolean;
  /** Of one that comes piece by piece: its handler was told this in place of the rest, so that its attempt has failed. */
  readonly failure?: unknown;
  /** The same will be told at every attempt. */
  readonly hopeless?: boolean;
  /** Its rest does not come, but all of it again: nothing follows on a failure. */
  readonly outdated?: boolean;
  /** It was handled, skipped or dropped. */
  settled?(): void;
}
