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
  // A ring of plain numbers: objects that live for a thousand transactions and then die are the garbage collector's worst case.
  readonly #finalLsns = new BigUint64Array(capacity);
  readonly #xids = new Uint32Array(capacity);
  readonly #times = new Float64Array(capacity);
  #count = 0;

  add({ finalLsn, xid, committedAt }: Begin): void {
    const index = this.#count++ % capacity;
    this.#finalLsns[index] = finalLsn;
    this.#xids[index] = xid;
    this.#times[index] = committedAt;
  }

  /** Whether a repeated transaction is the one that was received. One that is too old to be remembered counts as the same. */
  agrees({ finalLsn, xid, committedAt }: Begin): boolean {
    if (this.#count === 0 || finalLsn < this.#finalLsns[this.#count > capacity ? this.#count % capacity : 0]!)
      return true;
    const index = this.#finalLsns.subarray(0, this.#count).indexOf(finalLsn);
    return index >= 0 && this.#xids[index] === xid && this.#times[index] === committedAt;
  }

  clear(): void {
    this.#count = 0;
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
