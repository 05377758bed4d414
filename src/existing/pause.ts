/** Waits that end early: when something has happened, or for good. */
export class Pause {
  readonly #waiting = new Set<() => void>();
  #ended = false;

  /** Resolves after this number of milliseconds, or at the next `wake()`. */
  wait(milliseconds: number): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#waiting.add(done);
    });
  }

  wake(): void {
    for (const done of this.#waiting) done();
  }

  /** Ends the current wait and all later ones. */
  end(): void {
    this.#ended = true;
    this.wake();
  }
}
