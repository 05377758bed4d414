import { WatchError } from '../errors.ts';
import type { StreamMessage } from './stream-message.ts';
import { watcherTokenOf } from './subjects.ts';

/** Deliveries of an event without a process for its watcher, about five minutes. After that, it only waits for a running process that has the watcher. */
const most = 100;
/** Milliseconds until it is delivered again: the delay for each earlier delivery, and the longest one. */
const delay = 250;
const longestDelay = 3000;

export interface StrangersHost {
  /** Tokens of the watchers that some process of the group has. Undefined if they cannot be read at the moment. */
  wanted(): Promise<ReadonlySet<string> | undefined>;
  /** Whether a running process has this watcher, or may have it. */
  isAlive(token: string): Promise<boolean>;
  /** Writes a dead letter for the message, or gives it back. */
  bury(message: StreamMessage, error: WatchError): Promise<void>;
  /** Stops reading this watcher for the group. Returns whether its events that are being delivered will be delivered again. */
  giveUp(token: string): Promise<boolean>;
  warn(warning: WatchError): void;
}

/**
 * Handles events for watchers that this process does not have. During a rolling deploy another process has them, so the events
 * are given back until it receives them. Events that no process wants arrive only if the server supports one filter per
 * consumer; they are skipped.
 */
export class Strangers {
  readonly #host: StrangersHost;
  #waiting: StreamMessage[] = [];
  #looking: Promise<void> | undefined;
  /** Watchers that the group no longer reads, and why. */
  readonly #givenUp = new Map<string, WatchError>();

  constructor(host: StrangersHost) {
    this.#host = host;
  }

  take(message: StreamMessage): void {
    this.#waiting.push(message);
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
  }

  /** Resolves when all taken events are given back or skipped. */
  async settle(): Promise<void> {
    await this.#looking;
  }

  async #look(): Promise<void> {
    while (this.#waiting.length > 0) {
      const messages = this.#waiting;
      this.#waiting = [];
      const wanted = await this.#host.wanted(); // after they arrived, so that new watchers are included
      for (const message of messages) {
        const token = watcherTokenOf(message.subject);
        if (wanted && !wanted.has(token)) message.ack();
        else if (message.deliveries < most || (await this.#isAlive(token)))
          message.giveBack(Math.min(delay * message.deliveries, longestDelay));
        else await this.#bury(token, message);
      }
    }
  }

  async #isAlive(token: string): Promise<boolean> {
    const alive = await this.#host.isAlive(token);
    if (alive) this.#givenUp.delete(token);
    return alive;
  }

  async #bury(token: string, message: StreamMessage): Promise<void> {
    const known = this.#givenUp.get(token);
    const error = known ?? givenUp(message.subject, await this.#host.giveUp(token));
    if (!known) this.#host.warn(error);
    this.#givenUp.set(token, error);
    await this.#host.bury(message, error);
  }
}

function givenUp(subject: string, comesAgain: boolean): WatchError {
  const others = comesAgain
    ? 'events that were already delivered become dead letters'
    : 'this event becomes a dead letter, and all later ones are skipped';
  return new WatchError(
    'CONFIGURATION',
    `no process of the group has the watcher of ${subject}, so the group stops reading its events: ${others}`,
    {
      solution:
        'Do nothing if you removed the watcher. Otherwise start a process that has it: it receives events from then on.',
    },
  );
}
