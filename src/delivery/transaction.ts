import { WatchError } from '../errors.ts';
import { asChange } from './as-change.ts';
import { CapturedCommit } from '../changes/commit.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Ledger, LedgerTransaction } from '../changes/ledger.ts';
import type { Letter } from './letter.ts';
import type { Occurrence } from './occurrence.ts';
import type { Change, Transaction } from '../types/delivery.ts';

const oneRecord = [''] as const;

/**
 * The watched changes of one transaction, handed to a handler while they come in. What the handler has taken counts as
 * memory no more, or a large transaction would wait for itself; it is kept for further attempts until it is larger than
 * `limit`, and after that it can be read only once.
 */
export class TransactionDelivery implements Deliverable {
  readonly change: CapturedCommit;
  readonly event: Transaction;
  readonly records = oneRecord;
  readonly streamed = true;
  readonly #ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly #limit: number;
  #changes: Occurrence[] = [];
  /** How many were dropped before those. */
  #dropped = 0;
  /** How many were taken by the handler, and the bytes of those that are kept. */
  #taken = 0;
  #takenBytes = 0;
  #ended = false;
  /** Of the attempt. */
  #context: HandlerContext | undefined;
  #error: unknown;
  /** What the handler was told in place of a change, in the attempt. */
  failure: unknown = undefined;
  #done = false;
  /** Its rest will not come, but all of it again. */
  outdated = false;
  #wake: (() => void)[] = [];

  constructor(transaction: LedgerTransaction, ledger: Pick<Ledger, 'hold' | 'settle'>, limit: number) {
    this.change = new CapturedCommit(transaction);
    this.#ledger = ledger;
    this.#limit = limit;
    const iterate = () => this.#iterate();
    this.event = { [Symbol.asyncIterator]: iterate, toArray: () => toArray(iterate()) };
  }

  get repeatable(): boolean {
    return this.#dropped === 0;
  }

  get hopeless(): boolean {
    return this.#error !== undefined;
  }

  context(attempt: number): HandlerContext {
    this.failure = undefined;
    return (this.#context = new HandlerContext(this.change, attempt));
  }

  letter(): Letter {
    throw new TypeError('a transaction has no letter');
  }

  /** One more change. */
  push(occurrence: Occurrence): void {
    if (this.#done) return;
    this.#ledger.hold(occurrence.change);
    this.#changes.push(occurrence);
    this.#notify();
  }

  /** It has come whole. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Whoever reads it gets the error: what a condition threw. */
  fail(error: unknown): void {
    this.#error ??= error;
    this.#notify();
  }

  /** Its rest will not come, but all of it again. */
  abandon(error: unknown): void {
    this.outdated = true;
    this.fail(error);
  }

  settled(): void {
    this.#done = true;
    for (const { change } of this.#changes.slice(this.#taken - this.#dropped)) this.#ledger.settle(change);
    this.#changes = [];
    this.end(); // an iterator that was left behind
  }

  async *#iterate(): AsyncGenerator<Change, undefined> {
    for (let index = 0; ; index++) {
      while (index - this.#dropped >= this.#changes.length && !this.#ended && this.#error === undefined) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
      if (this.#error !== undefined) throw this.#told(this.#error);
      if (index < this.#dropped) throw this.#told(readTwice(this.change.eventId));
      const occurrence = this.#changes[index - this.#dropped];
      if (!occurrence) return undefined;
      this.#take(index);
      const context = occurrence.context(this.#context?.attempt ?? 1, this.#context);
      yield asChange(occurrence.event, context);
    }
  }

  /** The attempt has failed, also when the handler catches it: what it has written must not stay. */
  #told(error: unknown): unknown {
    this.failure = error;
    if (this.#context) HandlerContext.abort(this.#context, error);
    return error;
  }

  #take(index: number): void {
    if (index < this.#taken) return; // by an earlier attempt
    this.#taken = index + 1;
    // Many at once: each time the rest has to be moved.
    if (this.#takenBytes > this.#limit) {
      this.#changes.splice(0, index - this.#dropped);
      this.#dropped = index;
      this.#takenBytes = 0;
    }
    const { change } = this.#changes[index - this.#dropped]!;
    this.#takenBytes += change.bytes;
    this.#ledger.settle(change);
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

async function toArray(changes: AsyncIterable<Change>): Promise<readonly Change[]> {
  const all: Change[] = [];
  for await (const change of changes) all.push(change);
  return all;
}

function readTwice(eventId: string): WatchError {
  return new WatchError(
    'HANDLER_FAILED',
    `the transaction ${eventId} is larger than highWaterMark: it can be read only once`,
    {
      solution:
        'Read it once from its beginning, or raise highWaterMark. It was not acknowledged, and comes again after a restart.',
    },
  );
}
