import type { ExistingChange, Given } from './existing-row.ts';
import { idOf, type KeyTexts } from './key-order.ts';

/** Whose rows they are. */
export interface RowsOwner {
  /** False: the subscription has ended. Its rows that waited were dropped, and so do not count as handled. */
  readonly active: boolean;
  /** All watchers that want the row have handled it. */
  settled(row: ChunkRow): void;
}

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
  readonly #owner: RowsOwner;
  /** Deliveries that are not settled, plus 1 until `expected()`. */
  #open = 1;

  constructor(key: KeyTexts, change: ExistingChange, reread: boolean, by: readonly string[], owner: RowsOwner) {
    this.id = idOf(key);
    this.key = key;
    this.change = change;
    this.reread = reread;
    this.by = by;
    this.#owner = owner;
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

  /** No further watcher gets it. */
  expected(): void {
    this.#close();
  }

  settled(watcher: string): void {
    if (!this.#owner.active) return;
    this.by = [...this.by, watcher];
    this.#close();
  }

  #close(): void {
    if (--this.#open === 0) this.#owner.settled(this);
  }
}
