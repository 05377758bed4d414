import type { ExistingChange, Given } from './existing-row.ts';
import { idOf, type KeyTexts } from './key-order.ts';

/** A row of the current chunk, on its way to all watchers of the subscription that want it. */
export class ChunkRow implements Given {
  readonly id: string;
  readonly key: KeyTexts;
  readonly change: ExistingChange;
  /** It comes from the list of key changes. */
  readonly reread: boolean;
  /** `given`: to the handler, or on its way there. */
  stage: 'pending' | 'given' | 'handled' = 'pending';
  /** Another row has this key by now: that this one is handled says nothing about the other. */
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
