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
  /** The handler's second argument. */
  context(attempt: number): HandlerContext;
  /** What is kept of it when it can not be handled. */
  letter(): Letter;
}
