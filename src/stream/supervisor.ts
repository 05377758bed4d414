import type { WatchError } from '../errors.ts';
import { provenAfter, reconnectDelay } from './timing.ts';

interface Attempt {
  /** Rejects when the connection is lost; resolves when it was closed. */
  run(): Promise<void>;
}

export interface SupervisorHost {
  /** Creates a new attempt to connect. */
  attempt(): Attempt;
  /** Finds the WatchError for the error that ended an attempt. */
  classify(cause: unknown): WatchError;
  disconnected(error: WatchError, retryIn: number): void;
}

/** Repeats connection attempts until one fails permanently. */
export class Supervisor {
  readonly #host: SupervisorHost;
  /** Failures since the last success, counted per code and retry class: "starting up" and "refused" have separate delays. */
  readonly #failures = new Map<string, number>();
  #proof: NodeJS.Timeout | undefined;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(host: SupervisorHost) {
    this.#host = host;
  }

  /** Streaming has begun. That does not count as a success yet: if it always ended at once, we would retry many times a second. */
  began(): void {
    clearTimeout(this.#proof);
    this.#proof = setTimeout(() => this.succeeded(), provenAfter);
  }

  /** The connection has proved to work: the next delay is short again. */
  succeeded(): void {
    clearTimeout(this.#proof);
    this.#failures.clear();
  }

  /** Resolves after stop(). @throws WatchError when the error is permanent */
  async run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#host.attempt().run();
      } catch (cause) {
        clearTimeout(this.#proof);
        if (this.#stopped) return;
        const error = this.#host.classify(cause);
        if (error.retry === 'never') throw error;
        const retryIn = reconnectDelay(error.retry, this.#count(error), Math.random());
        this.#host.disconnected(error, retryIn);
        await this.#sleep(retryIn);
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#proof);
    this.#wake?.();
  }

  #count({ code, retry }: WatchError): number {
    const kind = `${code}/${retry}`;
    const failures = (this.#failures.get(kind) ?? 0) + 1;
    this.#failures.set(kind, failures);
    return failures;
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
