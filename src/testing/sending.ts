import { Ledger, type Held, type LedgerTransaction } from '../changes/ledger.ts';
import type { Budget } from '../changes/budget.ts';

/** One delivery of a test, until its handlers are done. */
export class Sending {
  readonly done: Promise<void>;
  /** Its transaction, and those of existing rows. */
  readonly transactions: LedgerTransaction[] = [];
  readonly #errors = new Set<unknown>();
  #isStuck = false;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** All handlers that got something of it are done, or one of them never will be. */
  get isOver(): boolean {
    return this.#isStuck || this.transactions.every(({ pending }) => pending === 0);
  }

  /** A handler has failed for good. `isStuck`: its event stays pending. */
  failed(error: unknown, isStuck: boolean): void {
    this.#errors.add(error);
    this.#isStuck ||= isStuck;
  }

  /** `reason`: it ends before its handlers are done. */
  end(reason?: unknown): void {
    const errors = [...this.#errors];
    if (errors.length > 1)
      this.#reject(new AggregateError(errors, `${errors.length} handlers failed with different errors`));
    else if (errors.length === 1) this.#reject(errors[0]);
    else if (reason !== undefined) this.#reject(reason);
    else this.#resolve();
  }
}

/** A ledger that reports the transaction of each handled change. */
export class TestLedger extends Ledger {
  readonly #settled: (transaction: LedgerTransaction) => void;

  constructor(budget: Budget, advanced: () => void, settled: (transaction: LedgerTransaction) => void) {
    super(budget, advanced);
    this.#settled = settled;
  }

  override settle(change: Held): void {
    super.settle(change);
    this.#settled(change.transaction);
  }
}
