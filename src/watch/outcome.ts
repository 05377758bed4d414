import { WatchError } from '../errors.ts';

/** A promise that knows whether something awaits it. It never causes an unhandled rejection; errors are then reported in other ways. */
class ObservedPromise extends Promise<void> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  isAwaited = false;

  // oxlint-disable-next-line unicorn/no-thenable -- await calls it, because this is a subclass of Promise
  override then<A = void, B = never>(
    onFulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isAwaited = true;
    return super.then(onFulfilled, onRejected);
  }
}

/** The promises behind `start()` and `closed`: how the watch began and how it ended. */
export class Outcome {
  readonly started: ObservedPromise;
  readonly closed: ObservedPromise;
  /** Settles with `closed`; for internal code that must not count as awaiting it. */
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

  /** Whether the application would receive an error that ends the watch. */
  get isAwaited(): boolean {
    return this.closed.isAwaited || (!this.#streamed && this.started.isAwaited);
  }

  streaming(): void {
    this.#streamed = true;
    this.#resolveStarted();
  }

  /** The watch will not stream any more. */
  failing(error: WatchError): void {
    this.#rejectStarted(error);
  }

  failed(error: WatchError): void {
    this.#rejectClosed(error);
  }

  /** A normal stop: whoever awaits `start()` gets no error either. */
  stopped(): void {
    this.#resolveStarted();
    this.#resolveClosed();
  }
}

/** A promise that settles with the given one, without marking it as awaited. */
function unobserved(promise: Promise<void>): Promise<void> {
  return Promise.prototype.then.call(promise) as Promise<void>;
}

/** The result of a `start()` that is called too late. */
export function refusedStart(error: WatchError): ObservedPromise {
  const refused = new ObservedPromise((_, reject) => reject(error));
  unobserved(refused).catch(() => {});
  return refused;
}

export function stopped(): WatchError {
  return new WatchError('STOPPED', 'the watch has been stopped', {
    solution: 'A stopped watch cannot be started again: create a new one with createWatch().',
  });
}
