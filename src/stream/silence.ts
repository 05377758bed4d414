/**
 * Measures how long a peer has not answered. It counts checks instead of time: a busy process does not read its sockets,
 * and data that arrived while it was busy is read only after its timers have run.
 */
export class Silence {
  readonly #interval: number;
  #received: number | undefined;
  #looks = 0;
  #since = Date.now();

  /** `interval`: milliseconds between two checks. */
  constructor(interval: number) {
    this.#interval = interval;
  }

  /** `received`: a counter that grows with each answer. `ignore`: nothing is read or asked, so silence proves nothing. */
  look(received: number, ignore: boolean): void {
    if (received === this.#received && !ignore) {
      this.#looks++;
      return;
    }
    this.#received = received;
    this.#looks = 0;
    this.#since = Date.now();
  }

  get milliseconds(): number {
    return this.#looks * this.#interval;
  }

  /** Milliseconds since 1970 at which the silence began; undefined while it is shorter than `patience` milliseconds. */
  since(patience: number): number | undefined {
    return this.milliseconds < patience ? undefined : this.#since;
  }
}
