/**
 * A promise that knows whether anybody waits for it, and whose rejection is never an unhandled one. `await` calls `then`
 * of a subclass, unlike that of a plain promise.
 */
export class ObservedPromise<T> extends Promise<T> {
  observed = false;

  /** What `then` returns is a plain promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static of<T>(promise: Promise<T>): ObservedPromise<T> {
    const observed = new ObservedPromise<T>((resolve, reject) => void promise.then(resolve, reject));
    void Promise.prototype.then.call(observed, undefined, () => {});
    return observed;
  }

  override then<A = T, B = never>(
    onfulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.observed = true;
    return super.then(onfulfilled, onrejected);
  }
}
