import type { Captured, Ledger, LedgerTransaction } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { nextPause, type TakeSnapshot } from './snapshot.ts';
import { isVisible, type Snapshot } from './visibility.ts';

/** Milliseconds between two looks at whether memory is free again. */
const fullPause = 2;
/**
 * Milliseconds until one more question, while those before it are on their way. Near the server none takes so long. At a
 * distance what was committed meanwhile need not wait for another round trip; and a packet that was lost is sent again
 * once later ones have come through, instead of after TCP's timeout of at least 200 ms.
 */
const spacing = 4;
/** How many questions are on their way at most. */
const mostQuestions = 16;
/** How often in a row it is asked in vain without a pause: most commits are visible a moment after they were sent. */
const atOnce = 3;
/** How many of those that wait a standby is asked for at once. */
const mostXids = 256;

/**
 * Holds changes until other sessions can see their transaction, because a walsender may send a commit before it is
 * visible, with synchronous replication much before. One answer of the server lets many transactions pass, and the next
 * question is mostly sent after it; only those that take long are not waited for.
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
  /** Questions on their way. */
  #questions = 0;
  /** How many have come here to wait so far. */
  #arrived = 0;
  /** Milliseconds since 1970: since when the first that waits is the first. */
  #since = 0;
  /** Says which changes must wait although they are visible. Undefined: none, while no table is read. */
  barrier: { bars(change: T): boolean } | undefined = undefined;
  /** Until the next question, or the next look at the memory. */
  #timer: NodeJS.Timeout | undefined;
  /** Answers in a row that have shown nothing, and the pause after the last. */
  #vain = 0;
  #pause = 0;

  constructor(ledger: Ledger, pass: (change: T) => void) {
    this.#ledger = ledger;
    this.#pass = pass;
  }

  /** Whether something waits to become visible. */
  get waiting(): boolean {
    return this.holds && !this.#full;
  }

  /** Whether something waits here, for whatever. */
  get holds(): boolean {
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
    this.#stopTimer();
    this.#full = false;
    this.#takeSnapshot = takeSnapshot;
    this.#failed = failed;
    this.#snapshot = undefined;
    this.#questions = this.#vain = this.#pause = 0;
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

  /** Drops what waits. */
  clear(): void {
    for (const change of this.#waiting.drain()) this.#ledger.settle(change);
    this.#bytes = 0;
  }

  /** Of the first transactions that wait. */
  #xids(): readonly number[] {
    return [...new Set(this.#waiting.peek(mostXids).map(({ transaction }) => transaction.xid))];
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
    if (takeSnapshot === undefined || !this.holds || this.#questions === mostQuestions) return;
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

  /** `arrived`: how many had when it was asked. */
  #answered(snapshot: Snapshot, arrived: number): void {
    this.#questions--;
    this.#snapshot = snapshot;
    const before = this.#waiting.length;
    this.#passOn();
    if (this.#full) return;
    const { length } = this.#waiting;
    if (length === 0 || length < before) this.#vain = this.#pause = 0;
    // What was asked before the first one came says nothing about it.
    else if (arrived > this.#arrived - length && ++this.#vain > atOnce) {
      // A commit that waits for a synchronous standby may take long: ask less and less often.
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
