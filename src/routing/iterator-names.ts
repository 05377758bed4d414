/** Of the iterators that would have the same name. */
interface Numbers {
  highest: number;
  /** Those below the highest that are free again. */
  readonly free: number[];
}

/** Tells apart the iterators of one watcher, which cannot be named. A number that is free again is given first. */
export class IteratorNames {
  readonly #numbers = new Map<string, Numbers>();
  readonly #taken = new Map<string, { readonly base: string; readonly number: number }>();

  /** `isOther`: whether a subscription that is no iterator has the name. */
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

  /** Does nothing for a name that is not an iterator's. */
  release(name: string): void {
    const taken = this.#taken.get(name);
    if (!taken) return;
    this.#taken.delete(name);
    const { free, highest } = this.#numbers.get(taken.base)!;
    free.push(taken.number);
    if (free.length === highest) this.#numbers.delete(taken.base); // after the last of them, the next one is the first again
  }
}
