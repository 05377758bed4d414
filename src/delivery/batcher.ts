import type { Captured } from '../changes/ledger.ts';
import { Batch } from './batch.ts';
import type { Deliverable } from './deliverable.ts';
import type { BatchOptions } from '../types/delivery.ts';

/**
 * Collects events into batches. A batch is sent when it is full; or when it has waited long enough and its lane is free,
 * so that batches grow while handlers are slow.
 */
export class Batcher {
  readonly #options: Required<BatchOptions>;
  readonly #isFree: () => boolean;
  readonly #send: (batch: Batch) => void;
  #collected: Deliverable[] = [];
  /** Milliseconds since 1970: when the first of them came. */
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #due = false;
  /** The first of those that do not wait any longer. */
  #hurried: Deliverable | undefined;
  #closed = false;

  constructor(options: Required<BatchOptions>, isFree: () => boolean, send: (batch: Batch) => void) {
    this.#options = options;
    this.#isFree = isFree;
    this.#send = send;
  }

  /** What has waited longest. */
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

  /** How many are collected. */
  get size(): number {
    return this.#collected.length;
  }

  add(deliverable: Deliverable): void {
    this.#collected.push(deliverable);
    if (this.#collected.length >= this.#options.size) this.flush();
    else if (this.#collected.length === 1) this.#begin();
  }

  /** The lane has room. */
  freed(): void {
    if (this.#due) this.flush();
  }

  /** Memory is full: nothing more comes that would be worth waiting for, but what is on its way just now. */
  hurry(): void {
    const [first] = this.#collected;
    if (first === undefined || first === this.#hurried) return;
    this.#hurried = first;
    queueMicrotask(() => this.#waited(first));
  }

  /** Sends what there is. */
  flush(): void {
    const collected = this.drain();
    if (collected.length > 0) this.#send(new Batch(collected, this.#options.latest));
  }

  /** Takes all out. */
  drain(): readonly Deliverable[] {
    const collected = this.#collected;
    clearTimeout(this.#timer);
    this.#due = false;
    this.#hurried = undefined;
    this.#collected = [];
    return collected;
  }

  /** Nothing is sent any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#closed = true;
  }

  #begin(): void {
    const { wait } = this.#options;
    this.#since = Date.now();
    if (this.#closed) return;
    const [first] = this.#collected;
    // Without a wait: what has been read together goes together.
    if (wait === 0) queueMicrotask(() => this.#waited(first!));
    else this.#timer = setTimeout(() => this.#waited(first!), wait);
  }

  #waited(first: Deliverable): void {
    if (this.#closed || this.#collected[0] !== first) return; // it was full meanwhile
    this.#due = true;
    if (this.#isFree()) this.flush();
  }
}
