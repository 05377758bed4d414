import { WatchError } from '../errors.ts';
import { asChange } from './as-change.ts';
import { CapturedCommit } from '../changes/commit.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Ledger, LedgerTransaction } from '../changes/ledger.ts';
import type { Letter } from './letter.ts';
import type { Occurrence } from './occurrence.ts';
import type { Annotations, Change, Transaction } from '../types/delivery.ts';

const oneRecord = [''] as const;

/**
 * The watched changes of one transaction, passed to a handler while they arrive. Changes that the handler has read no
 * longer count as used memory, or a transaction above the limit would wait for itself. They are kept for further attempts
 * until they exceed `limit` bytes; after that the transaction can be read only once.
 */
export class TransactionDelivery implements Deliverable {
  readonly change: CapturedCommit;
  readonly event: Transaction;
  readonly records = oneRecord;
  readonly streamed = true;
  readonly #ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly #limit: number;
  #changes: Occurrence[] = [];
  /** The number of changes dropped before `#changes`. */
  #dropped = 0;
  /** The number of changes read by the handler, and the bytes of those that are kept. */
  #taken = 0;
  #takenBytes = 0;
  #ended = false;
  /** The context of the current attempt. */
  #context: HandlerContext | undefined;
  #error: unknown;
  /** The error that the handler received instead of a change, in the current attempt. */
  failure: unknown = undefined;
  #done = false;
  /** The rest will not arrive; the whole transaction is sent again. */
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

  get permanent(): boolean {
    return this.#error !== undefined;
  }

  context(attempt: number): HandlerContext {
    this.failure = undefined;
    return (this.#context = new HandlerContext(this.change, attempt));
  }

  letter(): Letter {
    throw new TypeError('a transaction has no letter');
  }

  /** Adds a change. */
  push(occurrence: Occurrence): void {
    if (this.#done) return;
    this.#ledger.hold(occurrence.change);
    this.#annotate(occurrence.change.annotations);
    this.#changes.push(occurrence);
    this.#notify();
  }

  /** All changes have arrived. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Readers get this error: a condition threw it. */
  fail(error: unknown): void {
    this.#error ??= error;
    this.#notify();
  }

  /** The rest will not arrive; the whole transaction is sent again. */
  cancel(error: unknown): void {
    this.outdated = true;
    this.fail(error);
  }

  settled(): void {
    this.#done = true;
    for (const { change } of this.#changes.slice(this.#taken - this.#dropped)) this.#ledger.settle(change);
    this.#changes = [];
    this.end(); // ends an iterator that was kept
  }

  async *#iterate(): AsyncGenerator<Change, undefined> {
    for (let index = 0; ; index++) {
      while (index - this.#dropped >= this.#changes.length && !this.#ended && this.#error === undefined) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
      if (this.#error !== undefined) throw this.#reported(this.#error);
      if (index < this.#dropped) throw this.#reported(readTwice(this.change.eventId));
      const occurrence = this.#changes[index - this.#dropped];
      if (!occurrence) return undefined;
      this.#take(index);
      const context = occurrence.context(this.#context?.attempt ?? 1, this.#context);
      yield asChange(occurrence.event, context);
    }
  }

  /** Marks the attempt as failed even if the handler catches the error: its writes must not stay. */
  #reported(error: unknown): unknown {
    this.failure = error;
    if (this.#context) HandlerContext.abort(this.#context, error);
    return error;
  }

  #take(index: number): void {
    if (index < this.#taken) return; // read by an earlier attempt
    this.#taken = index + 1;
    // Drop many at once, because each time the rest has to be moved.
    if (this.#takenBytes > this.#limit) {
      this.#changes.splice(0, index - this.#dropped);
      this.#dropped = index;
      this.#takenBytes = 0;
    }
    const { change } = this.#changes[index - this.#dropped]!;
    this.#takenBytes += change.bytes;
    this.#ledger.settle(change);
  }

  #annotate(annotations: Annotations): void {
    this.change.annotations = annotations;
    if (this.#context) HandlerContext.annotate(this.#context, annotations);
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
    `the transaction ${eventId} is larger than highWaterMark and can be read only once`,
    {
      solution:
        'Read it only once, from the beginning, or increase highWaterMark. It was not acknowledged and will be delivered again after a restart.',
    },
  );
}
