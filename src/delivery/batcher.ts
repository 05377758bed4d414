import type { Captured } from '../changes/ledger.ts';
import { Batch } from './batch.ts';
import type { Deliverable } from './deliverable.ts';
import type { BatchOptions } from '../types/delivery.ts';

/**
 * Collects events into batches. A batch is sent when it is full, or when it has waited long enough and its lane is free.
 * So batches grow while handlers are slow.
 */
export class Batcher {
  readonly #options: Required<BatchOptions>;
  readonly #isFree: () => boolean;
  readonly #send: (batch: Batch) => void;
  #collected: Deliverable[] = [];
  /** Milliseconds since 1970 at which the first collected event arrived. */
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #due = false;
  /** The first event of a batch that does not wait any longer. */
  #sendingSoon: Deliverable | undefined;
  #closed = false;

  constructor(options: Required<BatchOptions>, isFree: () => boolean, send: (batch: Batch) => void) {
    this.#options = options;
    this.#isFree = isFree;
    this.#send = send;
  }

  /** The event that has waited longest. */
  get oldest():
    | { readonly deliverable: Deliverable; readonly since: number; readonly attempt: 1; readonly error: undefined }
    | undefined {
    const [deliverable] = this.#collected;
    return deliverable && { deliverable, since: this.#since, attempt: 1, error: undefined };
  }

  /** The first of them that comes from the stream. */
  get holding(): Captured | undefined {
    return this.#collected.find(({ change }) => change.existing !== true)?.change;
  }

  /** The number of collected events. */
  get size(): number {
    return this.#collected.length;
  }

  add(deliverable: Deliverable): void {
    this.#collected.push(deliverable);
    if (this.#collected.length >= this.#options.size) this.flush();
    else if (this.#collected.length === 1) this.#begin();
  }

  /** The lane has room for another batch. */
  freed(): void {
    if (this.#due) this.flush();
  }

  /** Memory is full, so waiting longer brings no more events, except those being read at this moment. */
  sendSoon(): void {
    const [first] = this.#collected;
    if (first === undefined || first === this.#sendingSoon) return;
    this.#sendingSoon = first;
    queueMicrotask(() => this.#waited(first));
  }

  /** Sends the collected events. */
  flush(): void {
    const collected = this.drain();
    if (collected.length > 0) this.#send(new Batch(collected, this.#options.latest));
  }

  /** Removes and returns the collected events. */
  drain(): readonly Deliverable[] {
    const collected = this.#collected;
    clearTimeout(this.#timer);
    this.#due = false;
    this.#sendingSoon = undefined;
    this.#collected = [];
    return collected;
  }

  /** Stops sending. */
  close(): void {
    clearTimeout(this.#timer);
    this.#closed = true;
  }

  #begin(): void {
    const { wait } = this.#options;
    this.#since = Date.now();
    if (this.#closed) return;
    const [first] = this.#collected;
    // Without a wait, only events that were read together form a batch.
    if (wait === 0) queueMicrotask(() => this.#waited(first!));
    else this.#timer = setTimeout(() => this.#waited(first!), wait);
  }

  #waited(first: Deliverable): void {
    if (this.#closed || this.#collected[0] !== first) return; // the batch was sent because it was full
    this.#due = true;
    if (this.#isFree()) this.flush();
  }
}
