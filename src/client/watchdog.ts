/** Calls `silent` when nothing was heard for a time. It goes by the clock: timers of a tab in the background are late. */
export class Watchdog {
  readonly #silent: () => void;
  #limit = 0;
  #heard = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(silent: () => void) {
    this.#silent = silent;
  }

  /** Begins anew; with another limit, if one is given. */
  heard(limit = this.#limit): void {
    this.#heard = Date.now();
    if (limit === this.#limit && this.#timer !== undefined) return;
    this.stop();
    this.#limit = limit;
    this.#check(false);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #check(doubted: boolean): void {
    const left = this.#heard + this.#limit - Date.now();
    if (left <= 0 && doubted) {
      this.stop();
      this.#silent();
      return;
    }
    // A tab that has slept first reads what has come meanwhile.
    this.#timer = setTimeout(() => this.#check(left <= 0), left > 0 ? Math.min(left, 2 ** 30) : 1000);
  }
}
