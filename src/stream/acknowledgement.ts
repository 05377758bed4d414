import type { Lsn } from '../postgres/lsn.ts';
import type { StatusUpdate } from './status-update.ts';

/**
 * What one connection may say about positions. They grow, and never go beyond what this connection received: the server
 * would accept anything. A new connection begins with 0, which keeps the session alive and moves nothing.
 */
export class Acknowledgement {
  /** The furthest position that the server named. */
  #write: Lsn = 0n;
  /** The furthest position outside of transactions: all before it was received. */
  #received: Lsn = 0n;
  #flush: Lsn = 0n;

  get write(): Lsn {
    return this.#write;
  }

  get flush(): Lsn {
    return this.#flush;
  }

  /** A position that the server named, also inside a transaction. */
  named(lsn: Lsn): void {
    if (lsn > this.#write) this.#write = lsn;
  }

  /** A position outside of transactions was reached. */
  reached(lsn: Lsn): void {
    this.named(lsn);
    if (lsn > this.#received) this.#received = lsn;
  }

  /** All before `confirmed` is handled. Returns whether there is more to acknowledge than before. */
  advance(confirmed: Lsn | undefined): boolean {
    if (confirmed === undefined) return false;
    const flush = confirmed < this.#received ? confirmed : this.#received;
    if (flush <= this.#flush) return false;
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
}
