/**
 * The memory that undelivered changes take. Above the high-water mark reading pauses, and goes on once half of it is
 * free, so that a pause is worth its while.
 */
export class Budget {
  readonly #highWaterMark: number;
  readonly #onFull: () => void;
  readonly #onFree: () => void;
  #bytes = 0;
  #full = false;

  constructor(highWaterMark: number, onFull: () => void, onFree: () => void) {
    this.#highWaterMark = highWaterMark;
    this.#onFull = onFull;
    this.#onFree = onFree;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#full;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#full || this.#bytes <= this.#highWaterMark) return;
    this.#full = true;
    this.#onFull();
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
    if (!this.#full || this.#bytes > this.#highWaterMark / 2) return;
    this.#full = false;
    this.#onFree();
  }
}
