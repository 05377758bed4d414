import { formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { StatusUpdate } from './status-update.ts';

/**
 * The stream's positions: received, handled, acknowledged, and what may be sent to the server. No other file knows them.
 *
 * The server accepts any position, so a connection acknowledges only growing positions that it has received itself. It
 * starts with 0, which keeps the session alive and does not move the slot.
 */
export class Positions {
  /** The highest received position outside transactions, over all connections. */
  #received: Lsn = 0n;
  /** The highest end of WAL reported by the server. */
  #server: Lsn = 0n;
  /** The last position that this process sent as flushed. Undefined: none, or another worker may have moved the slot since. */
  #acknowledged: Lsn | undefined;
  /** The slot's confirmed position. */
  #confirmed: string | undefined;

  // The fields below belong to the current connection.
  /** The highest position reported by the server, also inside a transaction. */
  #write: Lsn = 0n;
  /** The highest position outside transactions: everything before it was received. */
  #reached: Lsn = 0n;
  #flush: Lsn = 0n;
  /** The slot's position at the start. Servers before PostgreSQL 18 would move the slot back, so lower positions are never sent. */
  #floor: Lsn = 0n;

  get received(): string | undefined {
    return this.#received === 0n ? undefined : formatLsn(this.#received);
  }

  get acknowledged(): string | undefined {
    return this.#acknowledged === undefined ? undefined : formatLsn(this.#acknowledged);
  }

  /** What this connection has acknowledged, or will with its next status update. `0/0`: nothing. */
  get flush(): string {
    return formatLsn(this.#flush);
  }

  get confirmed(): string | undefined {
    return this.#confirmed;
  }

  /** The highest position reported on this connection. */
  get write(): Lsn {
    return this.#write;
  }

  /** Unacknowledged bytes of WAL. Undefined: not known yet. */
  get lag(): number | undefined {
    const end = this.#server > this.#received ? this.#server : this.#received;
    if (this.#confirmed === undefined || end === 0n) return undefined;
    return Math.max(0, Number(end - parseLsn(this.#confirmed)));
  }

  /** A new connection, which starts at the slot's position. */
  connect(confirmed: string | undefined): void {
    this.#write = this.#reached = this.#flush = 0n;
    this.#floor = confirmed === undefined ? 0n : parseLsn(confirmed);
    if (confirmed !== undefined) this.#confirmed = confirmed;
  }

  /** The received positions have become invalid: the server has another history, or another worker moved the slot. */
  forget(): void {
    this.#received = this.#server = 0n;
    this.#acknowledged = undefined;
  }

  /** The server reported a position, possibly inside a transaction. */
  named(lsn: Lsn): void {
    if (lsn > this.#write) this.#write = lsn;
    this.serverReached(lsn);
  }

  /** The stream reached a position outside transactions. */
  reached(lsn: Lsn): void {
    if (lsn > this.#write) this.#write = lsn;
    if (lsn > this.#reached) this.#reached = lsn;
    if (lsn > this.#received) this.#received = lsn;
  }

  serverReached(lsn: Lsn): void {
    if (lsn > this.#server) this.#server = lsn;
  }

  /** Everything before `handled` is handled. Returns whether there is more to acknowledge than before. */
  advance(handled: Lsn | undefined): boolean {
    if (handled === undefined) return false;
    const flush = handled < this.#reached ? handled : this.#reached;
    if (flush <= this.#flush || flush < this.#floor) return false;
    this.#flush = flush;
    return true;
  }

  /** The status update that is sent at intervals and after each advance. */
  update(replyRequested: boolean): StatusUpdate {
    return { write: this.#write, flush: this.#flush, replyRequested };
  }

  /**
   * The answer to a keepalive that requests a reply. While an event is unhandled, its flush is 0: a walsender that shuts
   * down waits until flush has reached what it sent, or, if flush is 0, until write has.
   * https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/replication/walsender.c (WalSndDone)
   */
  reply(settled: boolean): StatusUpdate {
    return { write: this.#write, flush: settled ? this.#flush : 0n, replyRequested: false };
  }

  /** A status update was sent. Returns the slot's new position, or undefined if it did not change. */
  sent({ flush }: StatusUpdate): string | undefined {
    if (flush === 0n) return undefined;
    this.#acknowledged = flush;
    const text = formatLsn(flush);
    if (text === this.#confirmed) return undefined;
    return (this.#confirmed = text);
  }
}
