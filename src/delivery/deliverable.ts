import type { HandlerContext } from './context.ts';
import type { Captured } from './ledger.ts';
import type { Letter } from './letter.ts';

/** What a handler is called with. */
export interface Deliverable {
  readonly change: Captured;
  /** The handler's first argument. */
  readonly event: unknown;
  /** What must not be handled at the same time as anything else of the same name. */
  readonly records: readonly string[];
  /** The handler's second argument. `whole`: of the batch that this is a part of. */
  context(attempt: number, whole?: HandlerContext): HandlerContext;
  /** What is kept of it when it can not be handled. */
  letter(): Letter;
  /** Of a batch: what it holds. */
  readonly parts?: readonly Deliverable[];
  /** It comes piece by piece: its handler is called before all of it is there. */
  readonly streamed?: boolean;
  /** False: a part of it is gone already, so that there can be no further attempt. */
  readonly repeatable?: boolean;
  /** It comes again by itself: nothing follows on a failure. */
  readonly outdated?: boolean;
  /** It was handled, skipped or dropped. */
  settled?(): void;
}
