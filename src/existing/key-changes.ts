import type { Held, Ledger } from '../changes/ledger.ts';
import { idOf, type KeyTexts } from './key-order.ts';

/** A row that changed its key while its table is read: it may have moved to where reading has already been. */
export interface KeyChange {
  readonly from: KeyTexts;
  readonly to: KeyTexts;
  /** Up to here the table had been read before the change. Undefined: not at all. The row was unread if `from` comes after. */
  readonly start: KeyTexts | undefined;
}

/** The most changes to keep. With more, the table is read from the start again. */
const most = 20_000;
/** The most changes to read with one chunk: each adds a SELECT to its statement. */
const mostAtOnce = 100;

/**
 * The rows to read again. A change that added one is not acknowledged before the list is stored, so after a crash the change
 * is received again and adds it again.
 */
export class KeyChanges {
  readonly #ledger: Pick<Ledger, 'hold' | 'settle'>;
  readonly #most: number;
  /** The current chunk holds their rows. */
  #reading: readonly KeyChange[] = [];
  #waiting: KeyChange[];
  /** The newest of them for each new key. */
  readonly #byKey = new Map<string, KeyChange>();
  /** Those whose row was given with the current chunk at an earlier key. It is not read again, unless its handling is cut off. */
  readonly #given = new Set<KeyChange>();
  readonly #held = new Set<Held>();
  #tooMany = false;

  constructor(ledger: Pick<Ledger, 'hold' | 'settle'>, stored: readonly KeyChange[], limit = most) {
    this.#ledger = ledger;
    this.#waiting = [...stored];
    for (const one of stored) this.#byKey.set(idOf(one.to), one);
    this.#most = limit;
  }

  /** For the next chunk. */
  get next(): readonly KeyChange[] {
    return this.#waiting.slice(0, mostAtOnce);
  }

  get all(): readonly KeyChange[] {
    return [...this.#reading, ...this.#waiting];
  }

  /** Changes wait for the list to be stored. */
  get holds(): boolean {
    return this.#held.size > 0;
  }

  /** The table has to be read again from the start: the rows that moved are not known any more. */
  get tooMany(): boolean {
    return this.#tooMany;
  }

  /**
   * `seen`: the snapshot of the current chunk sees the change. `given`: it does not, and the row was given at its old key, but is not handled.
   */
  add(change: Held, moved: KeyChange, { seen, given }: { readonly seen: boolean; readonly given: boolean }): void {
    if (this.#tooMany) return; // the first change beyond the limit is not acknowledged until the table is read again
    this.#hold(change);
    if (this.#waiting.length >= this.#most) {
      this.#tooMany = true;
      return;
    }
    // Of a row that moves twice, the first key decides whether it was unread. A chunk that does not see the change has read
    // the row at its key before.
    const from = idOf(moved.from);
    const known = this.#byKey.get(from);
    const before = known ?? (seen || given ? this.#reading.findLast(({ to }) => idOf(to) === from) : undefined);
    const one = before ? { ...before, to: moved.to } : moved;
    this.#waiting.push(one);
    this.#byKey.set(idOf(one.to), one);
    if (known ? this.#given.has(known) : given) this.#given.add(one);
  }

  /** The first `count` of those that waited are in the chunk that was read. */
  read(count: number): void {
    this.#reading = this.#waiting.splice(0, count);
    for (const one of this.#reading) if (this.#byKey.get(idOf(one.to)) === one) this.#byKey.delete(idOf(one.to));
  }

  /** All rows of the chunk are handled. */
  handled(): void {
    this.#reading = [];
    if (this.#given.size === 0) return;
    this.#waiting = this.#waiting.filter((one) => !this.#given.has(one));
    for (const one of this.#given) if (this.#byKey.get(idOf(one.to)) === one) this.#byKey.delete(idOf(one.to));
    this.#given.clear();
  }

  /** The chunk is given up: its rows are to be read again. */
  giveUp(): void {
    this.#waiting.unshift(...this.#reading);
    for (const one of this.#reading) if (!this.#byKey.has(idOf(one.to))) this.#byKey.set(idOf(one.to), one);
    this.#reading = [];
    this.#given.clear();
  }

  /** The entries to store next. Call `stored` after storing them. */
  store(): { readonly entries: readonly KeyChange[]; readonly stored: () => void } {
    const held = this.#tooMany ? [] : [...this.#held];
    return { entries: this.all, stored: () => this.#settle(held) };
  }

  /** The table is read, or its subscription has ended: nothing has to be kept. */
  clear(): void {
    this.#reading = [];
    this.#waiting = [];
    this.#byKey.clear();
    this.#given.clear();
    this.#settle([...this.#held]);
  }

  #hold({ transaction }: Held): void {
    // Without bytes: it must never make the memory full, which would stop the stream that the chunk waits for.
    const held = { transaction, bytes: 0, holders: 0 };
    this.#ledger.hold(held);
    this.#held.add(held);
  }

  #settle(held: readonly Held[]): void {
    for (const one of held) if (this.#held.delete(one)) this.#ledger.settle(one);
  }
}
