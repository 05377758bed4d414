import { fitting, type Letter } from '../delivery/letter.ts';
import type { Dead } from '../delivery/recipient.ts';
import { ConfigurationError, thrownStack, WatchError } from '../errors.ts';
import { type JetStreamAccess, clientOf, managerOf } from './access.ts';
import type { StreamMessage } from './stream-message.ts';
import { makeBeside } from './stream.ts';
import { deadLetterSubject } from './subjects.ts';

export interface DeadLetterStreamHost {
  readonly access: JetStreamAccess;
  /** The stream of the events. */
  readonly stream: string;
  /** The group's name; `live` without a group. */
  readonly group: string;
  slot(): string;
  unique(subscription: string): boolean;
  warn(warning: WatchError): void;
}

/** Bytes reserved for the headers of a message. */
const envelope = 2048;
/** The subscription name for messages that are not events: no subscription has this name. */
const none = '';

/** Writes dead letters to a separate stream: other processes still read the stream of the events. */
export class DeadLetterStream {
  readonly #host: DeadLetterStreamHost;

  constructor(host: DeadLetterStreamHost) {
    this.#host = host;
  }

  /** Publishes a dead letter. If JetStream does not acknowledge it, it warns and rejects. */
  async write({ recipient, deliverable, attempts, error }: Dead): Promise<void> {
    const { group } = this.#host;
    const subscription = recipient.name;
    const { eventId } = deliverable.change;
    await this.#told(`${subscription}: the dead letter of event ${eventId}`, async () => {
      if (!this.#host.unique(subscription)) throw notUnique(subscription);
      const letter = deliverable.letter();
      const about = { slot: this.#host.slot(), group, subscription, eventId };
      const end = { attempts, error: thrownStack(error), failedAt: new Date() };
      const text = fittingText(this.#limit, (most) => ({
        ...about,
        ...shortened(letter, most),
        ...end,
        error: most === undefined ? end.error : end.error.slice(0, Math.min(most, 10_000)),
      }));
      await this.#publish(subscription, text, `${group}:${subscription}:${letter.watcher}:${eventId}`);
    });
  }

  /** Publishes a dead letter for a message that is not an event, with its bytes in base64. */
  async writeRaw({ subject, seq, data }: StreamMessage, error: WatchError): Promise<void> {
    const { group } = this.#host;
    await this.#told(`the dead letter of message ${seq} on ${subject}`, async () => {
      const about = { slot: this.#host.slot(), group, subject, sequence: seq };
      const text = fittingText(this.#limit, (most) => ({
        ...about,
        payload: Buffer.from(most === undefined ? data : data.subarray(0, most / 2)).toString('base64'),
        ...(most !== undefined && { shortened: { payload: data.length } }),
        error: error.message.slice(0, 10_000),
        failedAt: new Date(),
      }));
      await this.#publish(none, text, `${group}:${seq}:${subject.slice(0, 500)}`);
    });
  }

  /** Bytes of the largest possible letter. */
  get #limit(): number {
    return (this.#host.access.connection.info?.max_payload ?? 1_048_576) - envelope;
  }

  async #publish(subscription: string, letter: string, msgID: string): Promise<void> {
    const { access, stream, group } = this.#host;
    const slot = this.#host.slot();
    const name = `${stream}_dead_letters`;
    const publish = () =>
      clientOf(access).publish(deadLetterSubject(slot, group, subscription), letter, {
        msgID,
        expect: { streamName: name },
      });
    await publish().catch(async () => {
      // No maximum age: letters stay until somebody deletes them.
      await makeBeside(await managerOf(access), stream, {
        name,
        subjects: [`walwatch_dead_letters.${slot}.>`],
        description: `Dead letters of the walwatch slot ${slot}`,
      });
      await publish();
    });
  }

  async #told(what: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (cause) {
      this.#host.warn(
        new WatchError('DEAD_LETTER', `${what} could not be written: ${(cause as Error).message}`, {
          solution: (cause as Partial<WatchError>).solution ?? 'walwatch keeps the event and tries again to write it.',
          cause,
        }),
      );
      throw cause;
    }
  }
}

/** The letter as JSON, with values cut shorter until it fits into a message. `most`: characters for its values. */
function fittingText(limit: number, make: (most: number | undefined) => object): string {
  let text = JSON.stringify(make(undefined));
  for (let most = limit / 2; Buffer.byteLength(text) > limit && most > 64; most = Math.floor(most / 4))
    text = JSON.stringify(make(most));
  return text;
}

/** Cuts long values. If the letter is still too large, it keeps only the lengths of the values. */
function shortened(letter: Letter, most: number | undefined): Letter {
  if (most === undefined) return letter;
  const short = fitting(letter, most, most);
  const { event, context } = short;
  const length = JSON.stringify([event, context.change?.previous]).length;
  if (length <= 2 * most) return short;
  const lengths = Object.fromEntries(Object.entries(letter.event).map(([name, text]) => [name, text?.length ?? 0]));
  return {
    ...short,
    event: {},
    context: {
      ...context,
      ...(context.change && { change: { ...context.change, previous: {} } }),
      shortened: lengths,
    },
  };
}

function notUnique(subscription: string): ConfigurationError {
  return new ConfigurationError([
    {
      message: `several subscriptions have the name '${subscription}', but dead letters need a unique subscription name`,
      solution: "Give each subscription a unique name that does not change: { name: 'mailer' }.",
    },
  ]);
}
