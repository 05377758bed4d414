import { WatchError } from '../errors.ts';

/** A promise that knows whether somebody waits for it. Never an unhandled rejection: what nobody hears is told by other means. */
class ObservedPromise extends Promise<void> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  isAwaited = false;

  // oxlint-disable-next-line unicorn/no-thenable -- await calls it, because this is no plain promise
  override then<A = void, B = never>(
    onFulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isAwaited = true;
    return super.then(onFulfilled, onRejected);
  }
}

/** What `start()` and `closed` give: how the watch began and how it ended. */
export class Outcome {
  readonly started: ObservedPromise;
  readonly closed: ObservedPromise;
  /** Settles with `closed`, for those who are no part of the application. */
  readonly over: Promise<void>;
  #resolveStarted!: () => void;
  #rejectStarted!: (error: unknown) => void;
  #resolveClosed!: () => void;
  #rejectClosed!: (error: unknown) => void;
  #streamed = false;

  constructor() {
    this.started = new ObservedPromise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.closed = new ObservedPromise((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    this.over = unobserved(this.closed);
    for (const promise of [this.over, unobserved(this.started)]) promise.catch(() => {});
  }

  /** Somebody in the application hears of an error that ends the watch. */
  get isAwaited(): boolean {
    return this.closed.isAwaited || (!this.#streamed && this.started.isAwaited);
  }

  streaming(): void {
    this.#streamed = true;
    this.#resolveStarted();
  }

  /** It will not stream any more. */
  failing(error: WatchError): void {
    this.#rejectStarted(error);
  }

  failed(error: WatchError): void {
    this.#rejectClosed(error);
  }

  /** In order: who waits for the start has nothing to fear either. */
  stopped(): void {
    this.#resolveStarted();
    this.#resolveClosed();
  }
}

/** The same, without counting as one who waits. */
function unobserved(promise: Promise<void>): Promise<void> {
  return Promise.prototype.then.call(promise) as Promise<void>;
}

/** A `start()` that comes too late. */
export function refusedStart(error: WatchError): ObservedPromise {
  const refused = new ObservedPromise((_, reject) => reject(error));
  unobserved(refused).catch(() => {});
  return refused;
}

export function stopped(): WatchError {
  return new WatchError('STOPPED', 'the watch has been stopped', {
    solution: 'A watch does not start again: make a new one with createWatch().',
  });
}
