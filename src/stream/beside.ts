import type { Lsn } from '../postgres/lsn.ts';
import type { Server } from '../postgres/server.ts';
import type { Session } from '../postgres/session.ts';

/** A connection that streams, for who works beside it. */
export interface OpenStream {
  readonly publication: string;
  readonly server: Server;
  /** Where the slot was made; empty: not known. */
  readonly slotLsn: string;
  /** The worker that had the slot before this one, if it is of a version that notes nothing in walwatch.existing. */
  readonly workerBefore: string | undefined;
  /** Changes were lost since the connection before. */
  readonly gap: boolean;
  /** Changes that were received before and not handled were dropped: they are sent again, or no longer exist. */
  readonly forgotten: boolean;
  /** The process of our walsender. */
  pid(): number | undefined;
  /** Opens an ordinary session. Its loss does not end the stream. */
  open(job: string): Promise<Session>;
  /** Whether everything that was committed before a position has left the gate. */
  hasPassed(position: Lsn): boolean;
  /** Whether a change waits in the gate. */
  holds(): boolean;
  /** Asks the walsender how far it is. */
  ask(): void;
  /** Has the server flush its WAL, so that the walsender can send it. */
  flush(): Promise<unknown>;
}

/** Works beside the connections of a stream, one after the other. */
export interface Beside {
  connected(stream: OpenStream): void;
  disconnected(): void;
  /** The watch ends: the connection is used only to store what is done. */
  ending(): void;
}
