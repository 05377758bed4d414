import { fitting, type Letter } from '../delivery/letter.ts';
import type { Dead } from '../delivery/recipient.ts';
import { ConfigurationError, thrownStack, WatchError } from '../errors.ts';
import { type JetStreamAccess, clientOf, managerOf } from './access.ts';
import type { StreamMessage } from './stream-message.ts';
import { makeBeside } from './stream.ts';
import { deadLetterSubject } from './subjects.ts';

export interface DeadLetterStreamHost {
  readonly access: JetStreamAccess;
  /** The stream that the events come from. */
  readonly stream: string;
  /** Of the processes that share a consumer; of one alone `live`. */
  readonly group: string;
  slot(): string;
  unique(subscription: string): boolean;
  warn(warning: WatchError): void;
}

/** Bytes of a message besides the letter: headers. */
const envelope = 2048;
/** What the subscription is called of messages that are no events: no subscription has this name. */
const none = '';

/** What a process could not handle, in a stream besides the one it came from, which others read as well. */
export class DeadLetterStream {
  readonly #host: DeadLetterStreamHost;

  constructor(host: DeadLetterStreamHost) {
    this.#host = host;
  }

  /** Publishes a letter. Rejects, after a warning, when JetStream does not acknowledge it. */
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

  /** The same of a message that is no event, with its bytes in base64. */
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

  /** Bytes of the largest letter. */
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
      // Letters have no age: they stay until somebody has looked at them.
      await makeBeside(await managerOf(access), stream, {
        name,
        subjects: [`walwatch_dead_letters.${slot}.>`],
        description: `What could not be handled of the walwatch slot ${slot}`,
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
          solution: (cause as Partial<WatchError>).solution ?? 'The event is kept. walwatch tries again to write it.',
          cause,
        }),
      );
      throw cause;
    }
  }
}

/** The letter as JSON, made with less and less until it fits into a message. `most`: characters for its values. */
function fittingText(limit: number, make: (most: number | undefined) => object): string {
  let text = JSON.stringify(make(undefined));
  for (let most = limit / 2; Buffer.byteLength(text) > limit && most > 64; most = Math.floor(most / 4))
    text = JSON.stringify(make(most));
  return text;
}

/** Long values are cut; if there are too many of them, only their lengths are kept. */
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
      message: `several subscriptions are called '${subscription}', and dead letters are kept under their names`,
      solution: "Give them names of their own that stay: { name: 'mailer' }.",
    },
  ]);
}
