import type { Captured, Ledger, LedgerTransaction } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import { nextPause, type TakeSnapshot } from './snapshot.ts';
import { isVisible, type Snapshot } from './visibility.ts';

/** Milliseconds between two looks at whether memory is free again. */
const fullPause = 2;
/** How many of those that wait a standby is asked for at once. */
const mostXids = 256;

/**
 * Holds changes until other sessions can see their transaction, because a walsender may send a commit before it is
 * visible, with synchronous replication much before. At most one question is on its way to the server; while catching
 * up one answer lets many transactions pass.
 */
export class VisibilityGate<T extends Captured> {
  readonly #ledger: Ledger;
  readonly #pass: (change: T) => void;
  readonly #waiting = new Queue<T>();
  /** Bytes of what waits. */
  #bytes = 0;
  /** What waits is visible, but there is no memory for its deliveries. */
  #full = false;
  #takeSnapshot: TakeSnapshot | undefined;
  #failed: (error: unknown) => void = () => {};
  #snapshot: Snapshot | undefined;
  /** The newest transaction known to be visible; all before it are let through already. */
  #visible: LedgerTransaction | undefined;
  #asking = false;
  /** Milliseconds since 1970: since when something waits. */
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #pause = 0;

  constructor(ledger: Ledger, pass: (change: T) => void) {
    this.#ledger = ledger;
    this.#pass = pass;
  }

  /** Whether something waits to become visible. */
  get waiting(): boolean {
    return this.#holds && !this.#full;
  }

  get #holds(): boolean {
    return this.#waiting.length > 0;
  }

  /** Milliseconds since 1970: since when the first that waits has done so. */
  get waitingSince(): number | undefined {
    return this.waiting ? this.#since : undefined;
  }

  /**
   * At each connection; undefined when it is lost. What waits goes on waiting. `failed` hears of a question that was not
   * answered, and of what was thrown on the way from here: the connection must end.
   */
  connect(takeSnapshot: TakeSnapshot | undefined, failed: (error: unknown) => void = () => {}): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#full = false;
    this.#takeSnapshot = takeSnapshot;
    this.#failed = failed;
    this.#snapshot = undefined;
    this.#asking = false;
    this.#pause = 0;
    if (this.#holds) this.#ask();
  }

  push(change: T): void {
    if (!this.#holds && this.#sees(change.transaction)) {
      this.#pass(change);
      return;
    }
    this.#ledger.hold(change);
    if (!this.#holds) this.#since = Date.now();
    this.#waiting.push(change);
    this.#bytes += change.bytes;
    this.#ask();
  }

  /** Drops what waits. */
  clear(): void {
    for (const change of this.#waiting.drain()) this.#ledger.settle(change);
    this.#bytes = 0;
  }

  /** Of the first transactions that wait. */
  #xids(): readonly number[] {
    return [...new Set(this.#waiting.peek(mostXids).map(({ transaction }) => transaction.xid))];
  }

  #sees(transaction: LedgerTransaction): boolean {
    if (transaction === this.#visible || transaction.xid === 0) return true; // 0: a message outside of transactions
    if (this.#snapshot === undefined || !isVisible(transaction.xid, this.#snapshot)) return false;
    this.#visible = transaction;
    return true;
  }

  #ask(): void {
    const takeSnapshot = this.#takeSnapshot;
    if (this.#asking || this.#timer !== undefined || takeSnapshot === undefined) return;
    this.#asking = true;
    takeSnapshot(() => this.#xids())
      .then((snapshot) => {
        if (this.#takeSnapshot === takeSnapshot) this.#answered(snapshot);
      })
      .catch((error: unknown) => {
        if (this.#takeSnapshot === takeSnapshot) this.#failed(error);
      });
  }

  #answered(snapshot: Snapshot): void {
    this.#asking = false;
    this.#snapshot = snapshot;
    this.#passOn();
  }

  #passOn(): void {
    let passed = false;
    this.#full = false;
    for (let change = this.#waiting.first(); change && this.#sees(change.transaction); change = this.#waiting.first()) {
      // Many subscriptions may hold each of them: what waits here takes much less memory.
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
    if (!this.#holds) {
      this.#pause = 0;
      return;
    }
    // A commit that waits for a synchronous standby may take long: ask less and less often.
    this.#pause = passed ? 0 : nextPause(this.#pause);
    if (this.#pause === 0) {
      this.#ask();
      return;
    }
    this.#after(this.#pause, () => this.#ask());
  }

  #tryAgain(): void {
    try {
      this.#passOn();
    } catch (error) {
      this.#failed(error);
    }
  }

  #after(pause: number, next: () => void): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      next();
    }, pause);
  }
}
