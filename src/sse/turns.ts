import { Queue } from '../changes/queue.ts';

interface Waiting {
  readonly isGone: () => boolean;
  readonly resolve: () => void;
}

/** Gives one turn per millisecond, so that the process has time for other work however many clients wait. */
export class Turns {
  readonly #waiting = new Queue<Waiting>();

  /** `isGone` returns whether the waiting client no longer needs its turn. */
  next(isGone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isGone, resolve });
      if (this.#waiting.length === 1) setTimeout(() => this.#give(), 1);
    });
  }

  /** Gives the turn to the first client that still needs it. Those before it are released as well and stop. */
  #give(): void {
    let turn: Waiting | undefined;
    do {
      turn = this.#waiting.shift();
      turn?.resolve();
    } while (turn?.isGone());
    if (this.#waiting.length > 0) setTimeout(() => this.#give(), 1);
  }
}
