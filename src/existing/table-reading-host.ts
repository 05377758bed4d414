import type { Ledger } from '../changes/ledger.ts';
import type { Recorder } from '../delivery/recorder.ts';
import type { ChunkRow } from './chunk-row.ts';

export interface TableReadingHost {
  /** The names of the watchers that the subscription gets this table's rows through. */
  readonly watchers: ReadonlySet<string>;
  /** The subscription has not ended. */
  readonly active: boolean;
  readonly ledger: Pick<Ledger, 'hold' | 'settle'>;
  /** Within a transaction two rows may have the same key. */
  readonly deferrable: () => boolean;
  /** With `transaction: true`. */
  readonly recorder: Recorder | undefined;
  /** Hands a row to the subscription: `expect()` for each watcher that wants it, then `expected()`. */
  give(row: ChunkRow): void;
  /** A row was handled: more may be given, or the chunk is done. */
  wake(): void;
}
