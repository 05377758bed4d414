import { WatchError } from '../errors.ts';
import type { Positions } from './positions.ts';
import type { StatusUpdate } from './status-update.ts';
import { judgeSilence, statusInterval } from './timing.ts';

/** What is needed of a connection. */
export interface KeepAliveHost {
  /** Received so far. */
  readonly bytesRead: number;
  /** Nothing is read at the moment, so that silence means nothing. */
  readonly paused: boolean;
  send(update: StatusUpdate): void;
  fail(error: unknown): void;
}

/** Least milliseconds between two acknowledgements; one for each transaction would cost more than decoding it. */
const acknowledgeInterval = 10;

/** Sends status updates: from time to time to stay alive, and soon after something was handled. Notices a silent server. */
export class KeepAlive {
  readonly #host: KeepAliveHost;
  readonly #positions: Positions;
  readonly #timeout: number;
  #timer: NodeJS.Timeout | undefined;
  #acknowledgeTimer: NodeJS.Timeout | undefined;
  #acknowledgedAt = 0;
  #bytesRead = 0;
  #heardAt = 0;

  /** `timeout`: the session's wal_sender_timeout, in milliseconds. */
  constructor(host: KeepAliveHost, positions: Positions, timeout: number) {
    this.#host = host;
    this.#positions = positions;
    this.#timeout = timeout;
  }

  start(): void {
    this.#bytesRead = this.#host.bytesRead;
    this.#heardAt = performance.now();
    this.#timer = setInterval(() => this.#tick(), statusInterval(this.#timeout));
  }

  stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#acknowledgeTimer);
  }

  /** Everything before `handled` is handled: sent soon, together with what follows. */
  acknowledge(handled: bigint | undefined): void {
    if (!this.#positions.advance(handled) || this.#acknowledgeTimer !== undefined) return;
    const wait = this.#acknowledgedAt + acknowledgeInterval - performance.now();
    if (wait <= 0) this.flush();
    else this.#acknowledgeTimer = setTimeout(() => this.flush(), wait);
  }

  /** Sends what is handled now. */
  flush(): void {
    clearTimeout(this.#acknowledgeTimer);
    this.#acknowledgeTimer = undefined;
    this.#acknowledgedAt = performance.now();
    this.#host.send(this.#positions.update(false));
  }

  /** Asks the server how far it is: a keepalive answers. */
  ask(): void {
    this.#host.send(this.#positions.update(true));
  }

  /** The answer to a keepalive that asks for one. `settled`: everything that was received is handled. */
  reply(settled: boolean): void {
    this.#host.send(this.#positions.reply(settled));
  }

  #tick(): void {
    const { bytesRead, paused } = this.#host;
    const now = performance.now();
    if (bytesRead !== this.#bytesRead || paused) {
      this.#bytesRead = bytesRead;
      this.#heardAt = now;
    }
    const silence = now - this.#heardAt;
    const verdict = judgeSilence(silence, this.#timeout, paused);
    if (verdict === 'dead') this.#host.fail(silent(silence));
    else this.#host.send(this.#positions.update(verdict === 'ask'));
  }
}

function silent(silence: number): WatchError {
  return new WatchError(
    'CONNECTION',
    `the server has been silent for ${Math.round(silence)} ms, although it was asked`,
    {
      solution: 'walwatch tries again. Look for a network or host that went away without closing the connection.',
    },
  );
}
