import { WatchError } from '../errors.ts';
import type { Positions } from './positions.ts';
import type { StatusUpdate } from './status-update.ts';
import { Silence } from './silence.ts';
import { deadAfter, lookInterval, statusInterval } from './timing.ts';

/** The part of a connection that `KeepAlive` uses. */
export interface KeepAliveHost {
  /** Bytes received so far. */
  readonly bytesRead: number;
  /** Reading is paused, so silence proves nothing. */
  readonly paused: boolean;
  send(update: StatusUpdate): void;
  fail(error: unknown): void;
}

/** Minimum milliseconds between two acknowledgements; one per transaction would cost more than decoding it. */
const acknowledgeInterval = 10;

/** Sends status updates at intervals to keep the session alive, and soon after events were handled. Detects a silent server. */
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

  /** Every update requests a keepalive: an idle server sends nothing else, so only a missing reply shows that it is gone. */
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

  /** Acknowledges everything before `handled` soon, in one update with events handled until then. */
  acknowledge(handled: bigint | undefined): void {
    if (!this.#positions.advance(handled) || this.#acknowledgeTimer !== undefined) return;
    const wait = this.#acknowledgedAt + acknowledgeInterval - performance.now();
    if (wait <= 0) this.flush();
    else this.#acknowledgeTimer = setTimeout(() => this.flush(), wait);
  }

  /** Acknowledges at once. */
  flush(): void {
    clearTimeout(this.#acknowledgeTimer);
    this.#acknowledgeTimer = undefined;
    this.#acknowledgedAt = performance.now();
    this.#host.send(this.#positions.update(false));
  }

  /** Asks the server for its current position; it answers with a keepalive. */
  ask(): void {
    this.#host.send(this.#positions.update(true));
  }

  /** Answers a keepalive that requests a reply. `settled`: everything received is handled. */
  reply(settled: boolean): void {
    this.#host.send(this.#positions.reply(settled));
  }

  /** Checks whether bytes arrive. Must be called every `lookInterval`. */
  look(): void {
    this.#silence.look(this.#host.bytesRead, this.#host.paused);
    const { milliseconds } = this.#silence;
    if (milliseconds >= deadAfter(this.#timeout)) this.#host.fail(silent(milliseconds));
  }

  /** How long no byte has arrived. */
  get silence(): Silence {
    return this.#silence;
  }
}

function silent(silence: number): WatchError {
  return new WatchError('CONNECTION', `the server has been silent for ${silence} ms, although it was asked`, {
    solution: 'walwatch tries again. Look for a network or host that went away without closing the connection.',
  });
}
