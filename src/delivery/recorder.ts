import type { Client } from 'pg';
import type { Captured } from '../changes/ledger.ts';

/** A row that has no position in the stream, and the watcher that delivers it. */
export interface RecordedRow {
  readonly change: Captured;
  readonly watcher: string | undefined;
}

export type IsFresh = (change: Captured, watcher: string | undefined) => boolean;

/** Of rows that have no position in the stream: stores in the handler's transaction that they are handled. */
export interface Recorder {
  /** Which of them are not recorded yet. Locks the record until the end of the transaction. */
  fresh(client: Client, rows: readonly RecordedRow[]): Promise<IsFresh>;
  /** Records them, unless the session is not in the attempt's transaction any more; returns whether it is. */
  record(client: Client, rows: readonly RecordedRow[], attempt: string): Promise<boolean>;
}

/** Undefined: it is a change of the stream, and has a position. */
export function recorderOf(captured: Captured): Recorder | undefined {
  return (captured as { readonly recorder?: Recorder }).recorder;
}
