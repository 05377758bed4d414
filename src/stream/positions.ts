import { formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { StatusUpdate } from './status-update.ts';

/**
 * How far the stream has come, and what may be said about it. The one place that knows positions.
 *
 * A connection acknowledges positions that grow and that it has received itself, because the server accepts anything. It
 * begins with 0, which keeps the session alive and moves nothing.
 */
export class Positions {
  /** The furthest position outside of transactions that was received, over all connections. */
  #received: Lsn = 0n;
  /** The furthest end of WAL that the server named. */
  #server: Lsn = 0n;
  /** The last position that this process sent as flushed. Undefined: none, or another worker may have moved the slot since. */
  #acknowledged: Lsn | undefined;
  /** Where the slot stands. */
  #confirmed: string | undefined;

  // Of the current connection.
  /** The furthest position that the server named, also inside a transaction. */
  #write: Lsn = 0n;
  /** The furthest position outside of transactions: everything before it was received. */
  #reached: Lsn = 0n;
  #flush: Lsn = 0n;
  /** Where the slot stood. Servers before PostgreSQL 18 would move it back, so nothing before it is acknowledged. */
  #floor: Lsn = 0n;

  get received(): string | undefined {
    return this.#received === 0n ? undefined : formatLsn(this.#received);
  }

  get acknowledged(): string | undefined {
    return this.#acknowledged === undefined ? undefined : formatLsn(this.#acknowledged);
  }

  /** What this connection has acknowledged, or will with the next status update. `0/0`: nothing. */
  get flush(): string {
    return formatLsn(this.#flush);
  }

  get confirmed(): string | undefined {
    return this.#confirmed;
  }

  /** The furthest position that this connection has heard of. */
  get write(): Lsn {
    return this.#write;
  }

  /** Bytes of WAL that are not acknowledged. Undefined: not known yet. */
  get lag(): number | undefined {
    const end = this.#server > this.#received ? this.#server : this.#received;
    if (this.#confirmed === undefined || end === 0n) return undefined;
    return Math.max(0, Number(end - parseLsn(this.#confirmed)));
  }

  /** A new connection, which begins where the slot stands. */
  connect(confirmed: string | undefined): void {
    this.#write = this.#reached = this.#flush = 0n;
    this.#floor = confirmed === undefined ? 0n : parseLsn(confirmed);
    if (confirmed !== undefined) this.#confirmed = confirmed;
  }

  /** Positions received so far say nothing about what follows: another history, or another worker moved the slot. */
  forget(): void {
    this.#received = this.#server = 0n;
    this.#acknowledged = undefined;
  }

  /** A position that the server named, also inside a transaction. */
  named(lsn: Lsn): void {
    if (lsn > this.#write) this.#write = lsn;
    this.serverReached(lsn);
  }

  /** A position outside of transactions was reached. */
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

  /** What is sent from time to time and after each advance. */
  update(replyRequested: boolean): StatusUpdate {
    return { write: this.#write, flush: this.#flush, replyRequested };
  }

  /**
   * The answer to a keepalive that asks for one. While anything is unhandled its flush is 0, because a walsender that
   * shuts down waits until flush, or write when flush is 0, has reached what it sent.
   * https://github.com/postgres/postgres/blob/REL_17_STABLE/src/backend/replication/walsender.c (WalSndDone)
   */
  reply(settled: boolean): StatusUpdate {
    return { write: this.#write, flush: settled ? this.#flush : 0n, replyRequested: false };
  }

  /** A status update was sent. Returns where the slot stands now; undefined: where it stood before. */
  sent({ flush }: StatusUpdate): string | undefined {
    if (flush === 0n) return undefined;
    this.#acknowledged = flush;
    const text = formatLsn(flush);
    if (text === this.#confirmed) return undefined;
    return (this.#confirmed = text);
  }
}
