import type { LedgerTransaction } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';

/** The server's WAL ended there at that time, and this was the newest transaction that had been received. */
interface Sample {
  readonly lsn: Lsn;
  readonly at: number;
  readonly newest: LedgerTransaction | undefined;
}

export interface LagFacts {
  /** Milliseconds since 1970, as all times here. */
  readonly now: number;
  /** All before this position is handled. */
  readonly handled: Lsn | undefined;
  /** The oldest transaction that is not handled. */
  readonly oldest: LedgerTransaction | undefined;
  /** The newest that was received. */
  readonly newest: LedgerTransaction | undefined;
  readonly downSince: number | undefined;
}

const mostSamples = 512;

/**
 * How many seconds the handlers are behind the commits. Bytes say nothing about time, so where the WAL ended is noted
 * from time to time, as PostgreSQL does for pg_stat_replication.
 */
export class LagClock {
  /** Those that are not handled yet, the oldest first. */
  #samples: Sample[] = [];
  /** Milliseconds since 1970: since when a server that streams has sent nothing, although it was asked. What was committed since is not known. */
  silentSince: number | undefined;

  get samples(): number {
    return this.#samples.length;
  }

  note(lsn: Lsn, at: number, newest: LedgerTransaction | undefined): void {
    this.#samples.push({ lsn, at, newest });
    // A slot that is held for days: half as many do as well.
    if (this.#samples.length > mostSamples) this.#samples = this.#samples.filter((_, index) => index % 2 === 0);
  }

  /** Positions of another history say nothing. */
  clear(): void {
    this.#samples = [];
  }

  seconds({ now, handled, oldest, newest, downSince }: LagFacts): number {
    if (handled !== undefined) this.#samples = this.#samples.filter(({ lsn }) => lsn > handled);
    const [behind] = this.#samples;
    const since = [oldest?.committedAt.getTime(), behind?.at, downSince, this.silentSince];
    // Working off a backlog: how old it is shows in what was received of it since.
    if (behind && newest !== behind.newest) since.push(newest?.committedAt.getTime());
    const known = since.filter((time) => time !== undefined);
    return known.length === 0 ? 0 : Math.max(0, now - Math.min(...known)) / 1000;
  }
}
