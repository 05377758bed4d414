import { Queue } from '../changes/queue.ts';

interface Waiting {
  readonly isGone: () => boolean;
  readonly resolve: () => void;
}

/** Hands out turns, one a millisecond: however many want one, the process has time for all else. */
export class Turns {
  readonly #waiting = new Queue<Waiting>();

  /** `isGone`: whether the turn is not wanted any more. */
  next(isGone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isGone, resolve });
      if (this.#waiting.length === 1) setTimeout(() => this.#give(), 1);
    });
  }

  /** To the first that wants it, and to those before it, who see that they have gone. */
  #give(): void {
    let turn: Waiting | undefined;
    do {
      turn = this.#waiting.shift();
      turn?.resolve();
    } while (turn?.isGone());
    if (this.#waiting.length > 0) setTimeout(() => this.#give(), 1);
  }
}
