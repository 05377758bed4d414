/** Bits for each number that there is room for. */
const bitsEach = 8;
const leastRoom = 64;

/**
 * A set of numbers that may take another for one of its own: one in ten at most, and never one of its own for another. It
 * takes a byte or two for each. Nothing is taken out: it is made anew when it is full.
 */
export class Sieve {
  readonly #bits: Uint32Array;
  readonly #mask: number;
  #room: number;

  /** `count`: how many numbers there are; it has room for as many again. */
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
