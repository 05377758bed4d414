/** Counts the connections of each principal. */
export class Places {
  readonly #most: number;
  readonly #taken = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Takes a place and returns a function that frees it; undefined when all are taken. */
  take(principal: string): (() => void) | undefined {
    const count = this.#taken.get(principal) ?? 0;
    if (count >= this.#most) return undefined;
    this.#taken.set(principal, count + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const left = this.#taken.get(principal)! - 1;
      if (left === 0) this.#taken.delete(principal);
      else this.#taken.set(principal, left);
    };
  }
}
