import type { WatchError } from '../errors.ts';
import { reconnectDelay } from './timing.ts';

interface Attempt {
  /** Rejects when the connection is lost, resolves when it was closed. */
  run(): Promise<void>;
}

export interface SupervisorHost {
  /** A new attempt to connect. */
  attempt(): Attempt;
  /** Which of walwatch's errors ended an attempt. */
  classify(cause: unknown): WatchError;
  disconnected(error: WatchError, retryIn: number): void;
}

/** Repeats connection attempts until one fails for good. */
export class Supervisor {
  readonly #host: SupervisorHost;
  #failures = 0;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(host: SupervisorHost) {
    this.#host = host;
  }

  /** The connection is up: the next delay begins small again. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** Resolves after stop(). @throws WatchError that no further attempt would mend */
  async run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#host.attempt().run();
      } catch (cause) {
        if (this.#stopped) return;
        const error = this.#host.classify(cause);
        if (error.retry === 'never') throw error;
        const retryIn = reconnectDelay(error.retry, ++this.#failures, Math.random());
        this.#host.disconnected(error, retryIn);
        await this.#sleep(retryIn);
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  #sleep(milliseconds: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
