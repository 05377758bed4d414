/**
 * For how long a peer that is asked has told nothing. It counts looks, not time: a process that is busy does not listen,
 * and what arrived meanwhile is read only after its timers.
 */
export class Silence {
  readonly #interval: number;
  #heard: number | undefined;
  #looks = 0;
  #since = Date.now();

  /** `interval`: milliseconds between two looks. */
  constructor(interval: number) {
    this.#interval = interval;
  }

  /** `heard`: how much so far. `deaf`: nothing is read, or nothing is asked, so that hearing nothing means nothing. */
  look(heard: number, deaf: boolean): void {
    if (heard === this.#heard && !deaf) {
      this.#looks++;
      return;
    }
    this.#heard = heard;
    this.#looks = 0;
    this.#since = Date.now();
  }

  get milliseconds(): number {
    return this.#looks * this.#interval;
  }

  /** Milliseconds since 1970: since when; undefined while it lasts less than `patience` milliseconds. */
  since(patience: number): number | undefined {
    return this.milliseconds < patience ? undefined : this.#since;
  }
}
