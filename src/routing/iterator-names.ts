/** The numbers given to iterators with the same base name. */
interface Numbers {
  highest: number;
  /** Numbers below the highest that are free again. */
  readonly free: number[];
}

/** Numbers the iterators of one watcher, because the user cannot name them. A free number is reused first. */
export class IteratorNames {
  readonly #numbers = new Map<string, Numbers>();
  readonly #taken = new Map<string, { readonly base: string; readonly number: number }>();

  /** `isOther`: whether a subscription other than an iterator has the name. */
  take(base: string, isOther: (name: string) => boolean): string {
    let numbers = this.#numbers.get(base);
    if (!numbers) this.#numbers.set(base, (numbers = { highest: 0, free: [] }));
    let number: number;
    let name: string;
    do {
      number = numbers.free.pop() ?? ++numbers.highest;
      name = `${base} (iterator ${number})`;
    } while (isOther(name));
    this.#taken.set(name, { base, number });
    return name;
  }

  /** Ignores names that do not belong to an iterator. */
  release(name: string): void {
    const taken = this.#taken.get(name);
    if (!taken) return;
    this.#taken.delete(name);
    const { free, highest } = this.#numbers.get(taken.base)!;
    free.push(taken.number);
    if (free.length === highest) this.#numbers.delete(taken.base); // when none is left, start with 1 again
  }
}
