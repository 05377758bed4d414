import { WatchError } from '../errors.ts';
import { ObservedPromise } from './observed-promise.ts';

/** What `start()` and `closed` give: how the watch began and how it ended. */
export class Outcome {
  readonly started: ObservedPromise<void>;
  readonly closed: ObservedPromise<void>;
  /** The same as `closed`, for those who are no users. */
  readonly over: Promise<void>;
  #resolveStarted!: () => void;
  #rejectStarted!: (error: unknown) => void;
  #resolveClosed!: () => void;
  #rejectClosed!: (error: unknown) => void;

  constructor() {
    const started = new Promise<void>((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.over = new Promise((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    this.started = ObservedPromise.of(started);
    this.closed = ObservedPromise.of(this.over);
  }

  streaming(): void {
    this.#resolveStarted();
  }

  /** It will not stream any more. */
  ending(error: WatchError): void {
    this.#rejectStarted(error);
  }

  stopped(): void {
    this.#resolveClosed();
  }

  /** `heard`: somebody was told by other means. An error that nobody hears of is given to the process. */
  failed(error: WatchError, heard: boolean): void {
    this.#rejectClosed(error);
    // Later than whoever reacts to the rejection by looking at it.
    setImmediate(() => {
      if (heard || this.closed.observed || this.started.observed) return;
      const detail = error.solution === undefined ? {} : { detail: error.solution };
      process.emitWarning(`walwatch has ended: ${error.message}`, { code: error.code, ...detail });
    });
  }
}

export function stopped(): WatchError {
  return new WatchError('STOPPED', 'the watch has been stopped', {
    solution: 'A watch does not start again: make a new one with createWatch().',
  });
}
