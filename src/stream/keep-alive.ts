import { WatchError } from '../errors.ts';
import type { Positions } from './positions.ts';
import type { StatusUpdate } from './status-update.ts';
import { Silence } from './silence.ts';
import { deadAfter, lookInterval, statusInterval } from './timing.ts';

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
  readonly #silence: Silence;
  #timer: NodeJS.Timeout | undefined;
  #acknowledgeTimer: NodeJS.Timeout | undefined;
  #acknowledgedAt = 0;

  /** `timeout`: the session's wal_sender_timeout, in milliseconds. */
  constructor(host: KeepAliveHost, positions: Positions, timeout: number) {
    this.#host = host;
    this.#positions = positions;
    this.#timeout = timeout;
    this.#silence = new Silence(lookInterval(timeout));
  }

  /** A keepalive is asked for every time: an idle server has nothing else to say, and its silence must mean something. */
  start(): void {
    this.#timer = setInterval(
      () => this.#host.send(this.#positions.update(!this.#host.paused)),
      statusInterval(this.#timeout),
    );
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

  /** Whether bytes arrive. To be called at every `lookInterval`. */
  look(): void {
    this.#silence.look(this.#host.bytesRead, this.#host.paused);
    const { milliseconds } = this.#silence;
    if (milliseconds >= deadAfter(this.#timeout)) this.#host.fail(silent(milliseconds));
  }

  /** For how long no byte has arrived. */
  get silence(): Silence {
    return this.#silence;
  }
}

function silent(silence: number): WatchError {
  return new WatchError('CONNECTION', `the server has been silent for ${silence} ms, although it was asked`, {
    solution: 'walwatch tries again. Look for a network or host that went away without closing the connection.',
  });
}
