import type { Held, Ledger } from '../changes/ledger.ts';
import type { KeyTexts } from './key-order.ts';

/** A row that changed its key while its table is read: it may have moved to where reading has already been. */
export interface KeyChange {
  readonly from: KeyTexts;
  readonly to: KeyTexts;
  /** Up to here the table had been read before the change. Undefined: not at all. The row was unread if `from` comes after. */
  readonly start: KeyTexts | undefined;
}

/** So many are kept. Beyond that, the table is read from the start again. */
const most = 20_000;

/**
 * The rows to read again. A change that added one is not acknowledged before the list is stored, so after a crash the change
 * is received again and adds it again.
 */
export class KeyChanges {
  readonly #ledger: Pick<Ledger, 'hold' | 'settle'>;
  /** The current chunk holds their rows. */
  #reading: readonly KeyChange[] = [];
  #waiting: KeyChange[];
  #held: Held[] = [];

  constructor(ledger: Pick<Ledger, 'hold' | 'settle'>, stored: readonly KeyChange[]) {
    this.#ledger = ledger;
    this.#waiting = [...stored];
  }

  /** For the next chunk. */
  get waiting(): readonly KeyChange[] {
    return this.#waiting;
  }

  get all(): readonly KeyChange[] {
    return [...this.#reading, ...this.#waiting];
  }

  get tooMany(): boolean {
    return this.#waiting.length > most;
  }

  add(change: Held, moved: KeyChange): void {
    // Of a row that moves twice, the first key decides whether it was unread.
    const from = JSON.stringify(moved.from);
    const before = this.all.findLast(({ to }) => JSON.stringify(to) === from);
    this.#waiting.push(before ? { ...before, to: moved.to } : moved);
    // Without bytes: it must never make the memory full, which would stop the stream that the chunk waits for.
    const held = { transaction: change.transaction, bytes: 0, holders: 0 };
    this.#ledger.hold(held);
    this.#held.push(held);
  }

  /** The first `count` of those that waited are in the chunk that was read. */
  read(count: number): void {
    this.#reading = this.#waiting.splice(0, count);
  }

  /** All rows of the chunk are handled. */
  handled(): void {
    this.#reading = [];
  }

  /** The chunk is given up: its rows are to be read again. */
  giveUp(): void {
    this.#waiting.unshift(...this.#reading);
    this.#reading = [];
  }

  /** What is stored next. Call `stored` once it is. */
  store(): { readonly entries: readonly KeyChange[]; stored(): void } {
    const held = this.#held;
    this.#held = [];
    return { entries: this.all, stored: () => this.#settle(held) };
  }

  /** The table is read, or its subscription has ended: nothing has to be kept. */
  clear(): void {
    this.#reading = [];
    this.#waiting = [];
    const held = this.#held;
    this.#held = [];
    this.#settle(held);
  }

  #settle(held: readonly Held[]): void {
    for (const one of held) this.#ledger.settle(one);
  }
}
