import { WatchError } from '../errors.ts';

/** What `start()` and `closed` give: how the watch began and how it ended. Never an unhandled rejection. */
export class Outcome {
  readonly started: Promise<void>;
  readonly closed: Promise<void>;
  #resolveStarted!: () => void;
  #rejectStarted!: (error: unknown) => void;
  #resolveClosed!: () => void;
  #rejectClosed!: (error: unknown) => void;

  constructor() {
    this.started = new Promise<void>((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.closed = new Promise<void>((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    this.started.catch(() => {}); // told by other means as well
    this.closed.catch(() => {});
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

  /** `told`: in a log or to a listener. An error that is neither is given to the process. */
  failed(error: WatchError, told: boolean): void {
    this.#rejectClosed(error);
    if (told) return;
    const detail = error.solution === undefined ? {} : { detail: error.solution };
    process.emitWarning(`walwatch has ended: ${error.message}`, { code: error.code, ...detail });
  }
}

export function stopped(): WatchError {
  return new WatchError('STOPPED', 'the watch has been stopped', {
    solution: 'A watch does not start again: make a new one with createWatch().',
  });
}
