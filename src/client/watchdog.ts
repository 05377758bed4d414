/** Calls `silent` after a time without a sign of life. It compares clock times, because timers of background tabs are late. */
export class Watchdog {
  readonly #silent: () => void;
  #limit = 0;
  #heard = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(silent: () => void) {
    this.#silent = silent;
  }

  /** Restarts the time, with a new limit if one is given. */
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
    // After its limit it waits one more second: a tab that slept must first read the data that arrived in the meantime.
    this.#timer = setTimeout(() => this.#check(left <= 0), left > 0 ? Math.min(left, 2 ** 30) : 1000);
  }
}
