import type { ErrorAction } from './delivery.ts';
import type { WatchError } from '../errors.ts';
import type { UpdateType } from './watchers.ts';

/** Where a watch stands. `standby`: another worker has the slot; `failed`: see `error`. */
export type WatchState =
  'idle' | 'connecting' | 'standby' | 'streaming' | 'disconnected' | 'stopping' | 'stopped' | 'failed';

/** What `status()` tells of any watch. */
export interface WatchStatus {
  readonly state: WatchState;
  readonly subscriptions: number;
  /** Handlers running now. */
  readonly running: number;
  readonly lastEventAt: Date | undefined;
  /** The last connection error, or the error that ended the watch. */
  readonly error: WatchError | undefined;
}

/** What `status()` tells of a watch that owns a slot. */
export interface SlotWatchStatus extends WatchStatus {
  readonly slot: string;
  readonly publication: string;
  readonly receivedLsn: string | undefined;
  readonly confirmedLsn: string | undefined;
  /** Bytes of WAL between the server's end and `confirmedLsn`. Undefined while the end is not known: unless it streams, and while the server is silent. */
  readonly lagBytes: number | undefined;
  /** Since when the server has sent nothing although it was asked, while `state` is still `streaming`. Undefined while it answers. */
  readonly silentSince: Date | undefined;
  /** Memory taken by changes whose handlers are not done: their watched values, and what goes with them. */
  readonly undeliveredBytes: number;
  /** The transaction that is coming in. Undefined between transactions. */
  readonly receiving: ReceivingTransaction | undefined;
  /** Events are held until their transaction is visible to other sessions. */
  readonly waitingForVisibility: boolean;
  /** What keeps `confirmedLsn` from moving: the oldest event not done. */
  readonly heldBy: HeldBy | undefined;
  /** How far the existing rows of subscriptions are read. */
  readonly existing: readonly ExistingStatus[];
}

/** How far the existing rows of a subscription are read: see `ExistingRows`. */
export interface ExistingStatus {
  readonly subscription: string;
  readonly version: string;
  readonly state: 'waiting' | 'reading' | 'done';
  readonly rows: number;
  readonly estimatedRows: number | undefined;
}

/** How far a transaction has come in. PostgreSQL sends it after its commit, and does not say how large it is. */
export interface ReceivingTransaction {
  readonly xid: number;
  readonly committedAt: Date;
  /** Inserts, updates, deletes and truncates so far: all that the publication sends, also what nobody watches. */
  readonly changes: number;
  /** Received so far. */
  readonly bytes: number;
}

/** The oldest event that is not done. */
export interface HeldBy {
  readonly subscription: string;
  readonly eventId: string;
  readonly since: Date;
  readonly attempt: number;
  readonly error: unknown;
  /** Shows the row, to be pasted. Undefined: the row is gone, or there is none. */
  readonly sql?: string | undefined;
}

/** What `details()` tells of a watcher. */
export interface WatcherDetails {
  readonly watcher: string;
  readonly type: UpdateType;
  readonly schema: string;
  readonly table: string;
  readonly label: string | undefined;
  readonly primaryKey: readonly string[] | undefined;
  /** All columns of the table. */
  readonly columns: readonly string[] | undefined;
  readonly extraColumns: readonly string[];
  readonly triggerColumns: readonly string[];
  readonly columnMap: Readonly<Record<string, string>>;
  readonly replicaIdentity: 'default' | 'full' | 'index' | 'nothing' | undefined;
  /** Undefined on a remote watch. */
  readonly slot: string | undefined;
  readonly publication: string | undefined;
  /** With `columnLists`, or a `where` for the table, once started: what the server does before it sends. */
  readonly pushedDown?: {
    /** All that is sent of a row, by names in code; undefined: every column. */
    readonly columns: readonly string[] | undefined;
    readonly where: string | undefined;
    /** Why there is no column list although `columnLists` is on. */
    readonly reason: string | undefined;
  };
}

/** Events of any watch. */
export interface WatchEventMap {
  readonly connected: { readonly reconnects: number };
  readonly disconnected: { readonly error: WatchError | undefined; readonly retryIn: number };
  /** An attempt failed, and what follows. */
  readonly handlerFailed: {
    readonly subscription: string;
    readonly eventId: string;
    readonly attempt: number;
    readonly error: unknown;
    readonly action: ErrorAction;
    readonly retryIn: number | undefined;
    /** Shows the row, or the dead letter that it becomes; to be pasted. */
    readonly sql: string | undefined;
  };
  /** Changes between these positions were not seen; or they were, and do not exist any more because the server was restored or
   *  promoted without them. A remote watch does not know the positions: `from` is undefined and `to` is empty. */
  readonly gap: { readonly from: string | undefined; readonly to: string; readonly reason: string };
  /** Something to look into that does not end the watch. */
  readonly warning: WatchError;
  /** What ended the watch; the same that `closed` rejects with. */
  readonly error: WatchError;
}

export interface SlotWatchEventMap extends WatchEventMap {
  readonly standby: { readonly activePid: number };
  readonly acknowledged: { readonly lsn: string };
}
