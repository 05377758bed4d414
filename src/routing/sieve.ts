/** Bits per number. */
const bitsEach = 8;
const leastRoom = 64;

/**
 * A set of numbers with false positives (at most one in ten) but no false negatives: a Bloom filter with one hash. It takes
 * one or two bytes per number. Numbers cannot be removed; when it is full, its owner creates a new one.
 */
export class Sieve {
  readonly #bits: Uint32Array;
  readonly #mask: number;
  #room: number;

  /** `count`: the expected number of entries; there is room for twice as many. */
  constructor(count = 0) {
    let room = leastRoom;
    while (room < 2 * count) room *= 2;
    this.#bits = new Uint32Array((room * bitsEach) / 32);
    this.#mask = this.#bits.length - 1;
    this.#room = room;
  }

  get full(): boolean {
    return this.#room <= 0;
  }

  add(number: number): void {
    this.#room--;
    this.#bits[(number >>> 5) & this.#mask]! |= 1 << (number & 31);
  }

  mayHave(number: number): boolean {
    return (this.#bits[(number >>> 5) & this.#mask]! & (1 << (number & 31))) !== 0;
  }
}
