import type { Client } from 'pg';
import type { SourceListener } from '../changes/stage.ts';
import type { WatchError } from '../errors.ts';
import type { Memory } from '../setup/memory.ts';
import type { Prepared } from '../setup/prepare.ts';

/** What the source needs from the watch, and reports to it. */
export interface StreamHost extends SourceListener {
  prepare(client: Client, memory: Memory): Promise<Prepared>;
  /** Drops received events that are not handled: they are sent again, or no longer exist. Returns their number. */
  forget(): number;
  /** The rest of the transaction being received will not arrive. */
  broken(): void;
  acknowledged(lsn: string): void;
  /** The slot cannot be created yet. */
  blocked(warning: WatchError): void;
  /** A temporary slot is gone for good: remove the data that was kept for it. */
  cleanUp(client: Client): Promise<void>;
  /** Something failed that does not end the connection and is tried again. */
  failed(error: unknown, what: string): void;
}
