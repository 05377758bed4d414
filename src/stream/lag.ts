import type { LedgerTransaction } from '../changes/ledger.ts';
import type { Lsn } from '../postgres/lsn.ts';

/** The server's end of WAL at a time, and the newest transaction received by then. */
interface Sample {
  readonly lsn: Lsn;
  readonly at: number;
  readonly newest: LedgerTransaction | undefined;
}

export interface LagFacts {
  /** Milliseconds since 1970, like all times in this file. */
  readonly now: number;
  /** Everything before this position is handled. */
  readonly handled: Lsn | undefined;
  /** The oldest transaction that is not handled. */
  readonly oldest: LedgerTransaction | undefined;
  /** The newest received transaction. */
  readonly newest: LedgerTransaction | undefined;
  readonly downSince: number | undefined;
}

const maxSamples = 512;

/**
 * Computes how many seconds the handlers are behind the commits. Bytes of WAL say nothing about time, so the end of WAL
 * is sampled with its time, as PostgreSQL does for pg_stat_replication.
 */
export class LagClock {
  /** Samples that are not handled yet, oldest first. */
  #samples: Sample[] = [];
  /** Milliseconds since 1970: since when the server has not answered while streaming. Later commits are unknown. */
  silentSince: number | undefined;

  get samples(): number {
    return this.#samples.length;
  }

  note(lsn: Lsn, at: number, newest: LedgerTransaction | undefined): void {
    this.#samples.push({ lsn, at, newest });
    // A slot that is held back for days: drop every second sample.
    if (this.#samples.length > maxSamples) this.#samples = this.#samples.filter((_, index) => index % 2 === 0);
  }

  /** Positions of another history cannot be compared. */
  clear(): void {
    this.#samples = [];
  }

  seconds({ now, handled, oldest, newest, downSince }: LagFacts): number {
    if (handled !== undefined) this.#samples = this.#samples.filter(({ lsn }) => lsn > handled);
    const [behind] = this.#samples;
    const since = [oldest?.committedAt.getTime(), behind?.at, downSince, this.silentSince];
    // While a backlog is processed, the commit time of the newest received transaction shows its age.
    if (behind && newest !== behind.newest) since.push(newest?.committedAt.getTime());
    const known = since.filter((time) => time !== undefined);
    return known.length === 0 ? 0 : Math.max(0, now - Math.min(...known)) / 1000;
  }
}
