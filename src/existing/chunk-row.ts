import type { ExistingChange, Given } from './existing-row.ts';
import { idOf, type KeyTexts } from './key-order.ts';

/** A row of the current chunk. It is delivered once for each `inserted` watcher of the subscription that it matches. */
export class ChunkRow implements Given {
  readonly id: string;
  readonly key: KeyTexts;
  readonly change: ExistingChange;
  /** It comes from the list of key changes. */
  readonly reread: boolean;
  /** `given`: it was delivered, or waits in the subscription's lane. */
  stage: 'pending' | 'given' | 'handled' = 'pending';
  /** Another row has this key now. Handling this row does not handle the other one. */
  replaced = false;
  /** Some watcher wants it. */
  isWanted = false;
  /** The watchers that have handled it. */
  by: readonly string[];
  readonly #handled: (row: ChunkRow) => void;
  /** Deliveries that are not settled, and the call that gives it. */
  #open = 1;

  constructor(
    key: KeyTexts,
    change: ExistingChange,
    reread: boolean,
    by: readonly string[],
    handled: (row: ChunkRow) => void,
  ) {
    this.id = idOf(key);
    this.key = key;
    this.change = change;
    this.reread = reread;
    this.by = by;
    this.#handled = handled;
  }

  /** Deliveries that are not settled. */
  get open(): number {
    return this.#open;
  }

  /** One more watcher gets it. */
  expect(): void {
    this.isWanted = true;
    this.#open++;
  }

  /** All watchers that want it have got it. */
  expected(): void {
    this.#close();
  }

  settled(watcher: string): void {
    this.by = [...this.by, watcher];
    this.#close();
  }

  #close(): void {
    if (--this.#open === 0) this.#handled(this);
  }
}
