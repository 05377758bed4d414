interface Waiting {
  readonly isGone: () => boolean;
  readonly resolve: () => void;
}

/** Hands out turns, one a millisecond: however many want one, the process has time for all else. */
export class Turns {
  #waiting: Waiting[] = [];

  /** `isGone`: whether the turn is not wanted any more. */
  next(isGone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push({ isGone, resolve }) === 1) setTimeout(() => this.#give(), 1);
    });
  }

  #give(): void {
    const first = this.#waiting.findIndex(({ isGone }) => !isGone());
    const given = this.#waiting.splice(0, first === -1 ? this.#waiting.length : first + 1);
    for (const { resolve } of given) resolve();
    if (this.#waiting.length > 0) setTimeout(() => this.#give(), 1);
  }
}
