import type { LedgerTransaction } from '../changes/ledger.ts';
import { WatchError } from '../errors.ts';
import type { Begin } from '../postgres/pgoutput/messages.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';

/** So many transactions are remembered. */
const capacity = 1024;

/**
 * The last transactions that were received. A new connection repeats what was not acknowledged; if a transaction is
 * repeated with another xid or time, the server was restored from an earlier state and these are new changes.
 */
export class RecentTransactions {
  readonly #byLsn = new Map<Lsn, LedgerTransaction>();
  #oldest: Lsn | undefined;

  add(transaction: LedgerTransaction): void {
    this.#byLsn.set(transaction.finalLsn, transaction);
    this.#oldest ??= transaction.finalLsn;
    if (this.#byLsn.size <= capacity) return;
    this.#byLsn.delete(this.#oldest);
    this.#oldest = this.#byLsn.keys().next().value;
  }

  /** Whether a repeated transaction is the one that was received. One that is too old to be remembered counts as the same. */
  agrees({ finalLsn, xid, committedAt }: Begin): boolean {
    if (this.#oldest === undefined || finalLsn < this.#oldest) return true;
    const known = this.#byLsn.get(finalLsn);
    return known?.xid === xid && known.committedAt.getTime() === new Date(committedAt).getTime();
  }

  clear(): void {
    this.#byLsn.clear();
    this.#oldest = undefined;
  }
}

/** The server sends other transactions at positions that were received before. */
export class Rewound extends WatchError {
  readonly at: Lsn;

  constructor(at: Lsn) {
    super('CONNECTION', `the server sends another transaction at ${formatLsn(at)} than before: it was restored`, {
      solution: "walwatch begins again where the slot stands and emits 'gap'.",
    });
    this.at = at;
  }
}
