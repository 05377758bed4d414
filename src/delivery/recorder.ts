import type { Client } from 'pg';
import type { Captured } from '../changes/ledger.ts';

/** Of rows that have no position in the stream: stores in the handler's transaction that they are handled. */
export interface Recorder {
  /** Those that are not recorded yet. Locks the record until the end of the transaction. */
  fresh(client: Client, rows: readonly Captured[]): Promise<ReadonlySet<Captured>>;
  /** Records them, unless the session is not in the attempt's transaction any more; returns whether it is. */
  record(client: Client, rows: readonly Captured[], attempt: string): Promise<boolean>;
}

/** Undefined: it is a change of the stream, and has a position. */
export function recorderOf(captured: Captured): Recorder | undefined {
  return (captured as { readonly recorder?: Recorder }).recorder;
}
