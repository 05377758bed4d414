import { WatchError } from '../errors.ts';
import type { Begin } from '../postgres/pgoutput/messages.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';

/** The number of remembered transactions. */
const capacity = 1024;

/**
 * The last received transactions. A new connection repeats unacknowledged transactions. If one comes with
 * another xid or time, the server was restored from an earlier state and these changes are new.
 */
export class RecentTransactions {
  // A ring of plain numbers: objects that live for a thousand transactions and then die are the worst case for the garbage collector.
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

/** The server sends different transactions at positions that were received before. */
export class Rewound extends WatchError {
  readonly at: Lsn;

  constructor(at: Lsn) {
    super(
      'CONNECTION',
      `the server sent a different transaction at ${formatLsn(at)} than before: it was restored from a backup or snapshot`,
      {
        solution: "walwatch continues at the slot's position and emits 'gap'.",
      },
    );
    this.at = at;
  }
}
