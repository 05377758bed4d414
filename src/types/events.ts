import type { ErrorAction } from './delivery.ts';
import type { WatchError } from '../errors.ts';
import type { UpdateType } from './watchers.ts';

/** State of a watch. `'standby'`: another worker has the slot, and this one waits for it. `'failed'`: the watch has ended, see `error`. */
export type WatchState =
  'idle' | 'connecting' | 'standby' | 'streaming' | 'disconnected' | 'stopping' | 'stopped' | 'failed';

/** What `status()` returns for every watch. */
export interface WatchStatus {
  readonly state: WatchState;
  /** Number of subscriptions. */
  readonly subscriptions: number;
  /** Number of handlers that are running now. */
  readonly running: number;
  /** When the last event was delivered to a handler. */
  readonly lastEventAt: Date | undefined;
  /** The last connection error, or the error that ended the watch. */
  readonly error: WatchError | undefined;
}

/** What `status()` returns for a watch that reads a slot. */
export interface SlotWatchStatus extends WatchStatus {
  readonly slot: string;
  readonly publication: string;
  /** The end of the WAL that this process has received, e.g. `'16/B374D848'`. */
  readonly receivedLsn: string | undefined;
  /** Everything before this position is handled and acknowledged. The server may remove its WAL. */
  readonly confirmedLsn: string | undefined;
  /** Bytes of WAL from `confirmedLsn` to the end of the server's WAL. Undefined while that end is unknown: unless the watch is
   *  streaming, and while the server does not answer. */
  readonly lagBytes: number | undefined;
  /** Set while `state` is `'streaming'` but the server does not answer: since when. Otherwise undefined. */
  readonly silentSince: Date | undefined;
  /** Bytes of memory used by changes whose handlers are not done: the watched values and their overhead. */
  readonly undeliveredBytes: number;
  /** The transaction that is being received. Undefined between transactions. */
  readonly receiving: ReceivingTransaction | undefined;
  /** Events are held back until other sessions can see their transaction, see the option `visibility`. */
  readonly waitingForVisibility: boolean;
  /** The oldest event that is not done. It keeps `confirmedLsn` from moving. */
  readonly heldBy: HeldBy | undefined;
  /** The progress of reading existing rows, for each subscription. */
  readonly existing: readonly ExistingStatus[];
}

/** The progress of reading the existing rows of a subscription: see `ExistingRows`. */
export interface ExistingStatus {
  readonly subscription: string;
  readonly version: string;
  readonly state: 'waiting' | 'reading' | 'done';
  readonly rows: number;
  readonly estimatedRows: number | undefined;
}

/** A transaction that is being received. PostgreSQL sends it after its commit and does not say how large it is. */
export interface ReceivingTransaction {
  readonly xid: number;
  readonly committedAt: Date;
  /** Inserts, updates, deletes and truncates so far. Counts all that the publication sends, also those without a watcher. */
  readonly changes: number;
  /** Bytes received so far. */
  readonly bytes: number;
}

/** The oldest event that is not done, and why. */
export interface HeldBy {
  readonly subscription: string;
  readonly eventId: string;
  /** When walwatch began to deliver it. */
  readonly since: Date;
  /** Number of the current or last attempt. */
  readonly attempt: number;
  /** What the last attempt failed with. Undefined: none has failed. */
  readonly error: unknown;
  /** A query that shows the row, to paste into psql. Undefined: the row was deleted, or the event has none. */
  readonly sql?: string | undefined;
}

/** What `details()` returns for a watcher. */
export interface WatcherDetails {
  readonly watcher: string;
  readonly type: UpdateType;
  readonly schema: string;
  readonly table: string;
  readonly label: string | undefined;
  readonly primaryKey: readonly string[] | undefined;
  /** All columns of the table, by their names in code. */
  readonly columns: readonly string[] | undefined;
  readonly extraColumns: readonly string[];
  readonly triggerColumns: readonly string[];
  readonly columnMap: Readonly<Record<string, string>>;
  readonly replicaIdentity: 'default' | 'full' | 'index' | 'nothing' | undefined;
  /** Undefined on a remote watch. */
  readonly slot: string | undefined;
  readonly publication: string | undefined;
  /** With `publication.columnLists` or a `where` for the table, after `start()`: what the server leaves out before it sends. */
  readonly pushedDown?: {
    /** The columns that the server sends, by their names in code. Undefined: all of them. */
    readonly columns: readonly string[] | undefined;
    /** The row filter. Undefined: all rows are sent. */
    readonly where: string | undefined;
    /** Why `columnLists` has no effect on this table. Undefined: it has, or is off. */
    readonly reason: string | undefined;
  };
}

/** Events of every watch, for `watch.on()`. */
export interface WatchEventMap {
  /** Streaming began. `reconnects`: how many times before, in this process. */
  readonly connected: { readonly reconnects: number };
  /** The connection was lost. walwatch connects again after `retryIn` milliseconds. */
  readonly disconnected: { readonly error: WatchError | undefined; readonly retryIn: number };
  /** An attempt to handle an event failed. `action`: what walwatch does now. `retryIn`: milliseconds until the next attempt. */
  readonly handlerFailed: {
    readonly subscription: string;
    readonly eventId: string;
    readonly attempt: number;
    readonly error: unknown;
    readonly action: ErrorAction;
    readonly retryIn: number | undefined;
    /** A query that shows the row, or the dead letter that was written for it, to paste into psql. */
    readonly sql: string | undefined;
  };
  /** Changes between these positions were missed; or they were delivered but no longer exist, because the server was restored or
   *  promoted without them. Bring what depends on the events up to date. A remote watch does not know the positions: there `from` is
   *  undefined and `to` is empty. */
  readonly gap: { readonly from: string | undefined; readonly to: string; readonly reason: string };
  /** A problem that does not end the watch. See `code` and `solution`. */
  readonly warning: WatchError;
  /** The error that ended the watch. `closed` rejects with the same one. */
  readonly error: WatchError;
}

/** Events of a watch that reads a slot. */
export interface SlotWatchEventMap extends WatchEventMap {
  /** Another worker has the slot. This one waits until it is free. */
  readonly standby: { readonly activePid: number };
  /** The server was told that everything before `lsn` is handled. */
  readonly acknowledged: { readonly lsn: string };
}
