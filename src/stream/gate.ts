import type { Captured, Ledger, LedgerTransaction } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { nextPause, type TakeSnapshot } from './snapshot.ts';
import { isVisible, type Snapshot } from './visibility.ts';

/** Milliseconds between two checks of whether memory is free again. */
const fullPause = 2;
/**
 * Milliseconds until another query is sent while earlier ones are unanswered. Near the server an answer takes less.
 * With a high latency, newer commits then need not wait for another round trip. It also repairs packet loss: TCP
 * retransmits as soon as later packets arrive, instead of after its timeout of at least 200 ms.
 */
const spacing = 4;
/** Maximum number of unanswered queries. */
const maxQuestions = 16;
/** Number of queries without progress that are repeated without a pause: most commits become visible a moment after they are sent. */
const atOnce = 3;
/** Maximum number of waiting transactions that one query asks a standby about. */
const maxXids = 256;

/**
 * Holds changes until other sessions can see their transaction. A walsender may send a commit before it is visible; with
 * synchronous replication long before. One answer can release many transactions. The next query is usually sent after
 * the answer to the one before; only a slow answer is not waited for.
 */
export class VisibilityGate<T extends Captured> {
  readonly #ledger: Ledger;
  readonly #pass: (change: T) => void;
  readonly #waiting = new Queue<T>();
  /** Bytes of the waiting changes. */
  #bytes = 0;
  /** The first waiting change is visible, but there is not enough memory to deliver it. */
  #full = false;
  #takeSnapshot: TakeSnapshot | undefined;
  #failed: (error: unknown) => void = () => {};
  #snapshot: Snapshot | undefined;
  /** The newest transaction known to be visible; all before it have been passed on. */
  #visible: LedgerTransaction | undefined;
  /** Number of unanswered queries. */
  #questions = 0;
  /** Number of changes that have had to wait so far. */
  #arrived = 0;
  /** Milliseconds since 1970 at which the first waiting change became the first. */
  #since = 0;
  /** Says which changes must wait although they are visible. Undefined: none, while no table is read. */
  barrier: { bars(change: T): boolean } | undefined = undefined;
  /** Until the next query or the next memory check. */
  #timer: NodeJS.Timeout | undefined;
  /** Number of consecutive answers without progress, and the pause after the last one. */
  #fruitless = 0;
  #pause = 0;

  constructor(ledger: Ledger, pass: (change: T) => void) {
    this.#ledger = ledger;
    this.#pass = pass;
  }

  /** Whether a change waits to become visible. */
  get waiting(): boolean {
    return this.holds && !this.#full;
  }

  /** Whether a change waits here, for visibility or for memory. */
  get holds(): boolean {
    return this.#waiting.length > 0;
  }

  /** Milliseconds since 1970: since when the first waiting change has waited for visibility. */
  get waitingSince(): number | undefined {
    return this.waiting ? this.#since : undefined;
  }

  /**
   * Called for each connection, and with undefined when it is lost; waiting changes stay. `failed` receives the error of a
   * query, or of a delivery made from here: the connection must end.
   */
  connect(takeSnapshot: TakeSnapshot | undefined, failed: (error: unknown) => void = () => {}): void {
    this.#stopTimer();
    this.#full = false;
    this.#takeSnapshot = takeSnapshot;
    this.#failed = failed;
    this.#snapshot = undefined;
    this.#questions = this.#fruitless = this.#pause = 0;
    this.#ask();
  }

  push(change: T): void {
    if (!this.holds && this.#mayPass(change)) {
      this.#pass(change);
      return;
    }
    this.#ledger.hold(change);
    if (!this.holds) this.#since = Date.now();
    this.#waiting.push(change);
    this.#arrived++;
    this.#bytes += change.bytes;
    if (this.#timer === undefined) this.#ask();
  }

  /** Drops the waiting changes. */
  clear(): void {
    for (const change of this.#waiting.drain()) this.#ledger.settle(change);
    this.#bytes = 0;
  }

  /** The xids of the first waiting transactions. */
  #xids(): readonly number[] {
    return [...new Set(this.#waiting.peek(maxXids).map(({ transaction }) => transaction.xid))];
  }

  /** The barrier is open again. */
  opened(): void {
    this.#tryAgain();
  }

  /** Whether everything that committed before a position, and was received, has left. */
  hasPassed(position: Lsn): boolean {
    const first = this.#waiting.first();
    return first === undefined || first.transaction.finalLsn >= position;
  }

  #mayPass(change: T): boolean {
    return this.#sees(change.transaction) && !(this.barrier !== undefined && this.barrier.bars(change));
  }

  #sees(transaction: LedgerTransaction): boolean {
    if (transaction === this.#visible || transaction.xid === 0) return true; // 0: a message outside of transactions
    if (this.#snapshot === undefined || !isVisible(transaction.xid, this.#snapshot)) return false;
    this.#visible = transaction;
    return true;
  }

  #ask(): void {
    const takeSnapshot = this.#takeSnapshot;
    if (takeSnapshot === undefined || !this.holds || this.#questions === maxQuestions) return;
    this.#questions++;
    const arrived = this.#arrived;
    takeSnapshot(() => this.#xids())
      .then((snapshot) => {
        if (this.#takeSnapshot === takeSnapshot) this.#answered(snapshot, arrived);
      })
      .catch((error: unknown) => {
        if (this.#takeSnapshot === takeSnapshot) this.#failed(error);
      });
    this.#after(Math.max(spacing, this.#pause), () => this.#ask());
  }

  /** `arrived`: the number of changes that had arrived when the query was sent. */
  #answered(snapshot: Snapshot, arrived: number): void {
    this.#questions--;
    this.#snapshot = snapshot;
    const before = this.#waiting.length;
    this.#passOn();
    if (this.#full) return;
    const { length } = this.#waiting;
    if (length === 0 || length < before) this.#fruitless = this.#pause = 0;
    // A query sent before the first waiting change arrived proves nothing about it.
    else if (arrived > this.#arrived - length && ++this.#fruitless > atOnce) {
      // A commit that waits for a synchronous standby may take long: query less and less often.
      this.#pause = nextPause(this.#pause);
      this.#after(this.#pause, () => this.#ask());
      return;
    }
    if (this.#questions === 0) this.#stopTimer();
    if (this.#timer === undefined) this.#ask();
  }

  #passOn(): void {
    let passed = false;
    this.#full = false;
    for (let change = this.#waiting.first(); change && this.#mayPass(change); change = this.#waiting.first()) {
      // Many subscriptions may each keep a copy of a change: waiting here takes much less memory.
      if (this.#ledger.isFullBesides(this.#bytes)) {
        this.#full = true;
        this.#since = Date.now();
        this.#after(fullPause, () => this.#tryAgain());
        return;
      }
      this.#waiting.shift();
      this.#bytes -= change.bytes;
      this.#pass(change);
      this.#ledger.settle(change);
      passed = true;
    }
    if (passed) this.#since = Date.now();
  }

  #tryAgain(): void {
    try {
      this.#passOn();
      if (!this.#full) this.#ask();
    } catch (error) {
      this.#failed(error);
    }
  }

  #after(pause: number, next: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      next();
    }, pause);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
