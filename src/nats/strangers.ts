import { WatchError } from '../errors.ts';
import type { StreamMessage } from './stream-message.ts';
import { watcherTokenOf } from './subjects.ts';

/** Deliveries of an event whose watcher no process knew, after which only one that lives is waited for: about five minutes. */
const most = 100;
/** Milliseconds until it is delivered again, for each time that it was; and at most. */
const delay = 250;
const longestDelay = 3000;

export interface StrangersHost {
  /** Tokens of the watchers that some process of the group has. Undefined: that could not be found out just now. */
  wanted(): Promise<ReadonlySet<string> | undefined>;
  /** Whether a living process has this watcher, or may have it. */
  isAlive(token: string): Promise<boolean>;
  /** Makes it a dead letter, or gives it back. */
  bury(message: StreamMessage, error: WatchError): Promise<void>;
  /** The group does without this watcher. Returns whether those of its events that are on their way come again. */
  giveUp(token: string): Promise<boolean>;
  warn(warning: WatchError): void;
}

/**
 * Events for watchers that this process does not know. While a new version is rolled out, another one does: they are given
 * back until it has them. What the group never wanted comes only where the server knows no better filter, and is passed over.
 */
export class Strangers {
  readonly #host: StrangersHost;
  #waiting: StreamMessage[] = [];
  #looking: Promise<void> | undefined;
  /** Watchers that the group does without, and why. */
  readonly #givenUp = new Map<string, WatchError>();

  constructor(host: StrangersHost) {
    this.#host = host;
  }

  take(message: StreamMessage): void {
    this.#waiting.push(message);
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
  }

  /** What has been taken is given back or passed over. */
  async settle(): Promise<void> {
    await this.#looking;
  }

  async #look(): Promise<void> {
    while (this.#waiting.length > 0) {
      const messages = this.#waiting;
      this.#waiting = [];
      const wanted = await this.#host.wanted(); // asked after they came, so that what is new is known
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
    ? 'those that were on their way become dead letters'
    : 'this one becomes a dead letter, and those that were on their way are passed over like all that follow';
  return new WatchError(
    'CONFIGURATION',
    `no process of the group has the watcher of ${subject}: the group no longer wants its events; ${others}`,
    {
      solution:
        'Nothing, if the watcher was removed. Otherwise start a process with it: it hears its events from then on.',
    },
  );
}
