import { jetstream, jetstreamManager, JetStreamApiError, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Dead } from '../delivery/recipient.ts';
import { ConfigurationError, thrownStack, WatchError } from '../errors.ts';
import { deadLetterSubject } from './subjects.ts';
import { isMissing } from './stream.ts';

export interface DeadLetterStreamHost {
  readonly connection: NatsConnection;
  /** The stream that the events come from. */
  readonly stream: string;
  /** Of the processes that share a consumer; of one alone `live`. */
  readonly group: string;
  slot(): string;
  unique(subscription: string): boolean;
  warn(warning: WatchError): void;
}

/** What a process could not handle, in a stream besides the one it came from, which others read as well. */
export class DeadLetterStream {
  readonly #host: DeadLetterStreamHost;

  constructor(host: DeadLetterStreamHost) {
    this.#host = host;
  }

  /** Publishes a letter. Rejects, after a warning, when JetStream does not acknowledge it. */
  async write({ recipient, deliverable, attempts, error }: Dead): Promise<void> {
    const { connection, stream, group } = this.#host;
    const slot = this.#host.slot();
    const subscription = recipient.name;
    const { eventId } = deliverable.change;
    try {
      if (!this.#host.unique(subscription)) throw notUnique(subscription);
      const letter = {
        slot, group, subscription, eventId, ...deliverable.letter(), attempts, error: thrownStack(error), failedAt: new Date(),
      }; // prettier-ignore
      const subject = deadLetterSubject(slot, group, subscription);
      const name = `${stream}_dead_letters`;
      const publish = () =>
        jetstream(connection).publish(subject, JSON.stringify(letter), {
          msgID: `${group}:${subscription}:${letter.watcher}:${eventId}`,
          expect: { streamName: name },
        });
      await publish().catch(async () => {
        await this.#makeStream(name, slot);
        await publish();
      });
    } catch (cause) {
      this.#host.warn(
        new WatchError(
          'DEAD_LETTER',
          `${subscription}: the dead letter of event ${eventId} could not be written: ${(cause as Error).message}`,
          {
            solution: (cause as Partial<WatchError>).solution ?? 'The event is kept. walwatch tries again to write it.',
            cause,
          },
        ),
      );
      throw cause;
    }
  }

  /** Letters have no age: they stay until somebody has looked at them. */
  async #makeStream(name: string, slot: string): Promise<void> {
    const { connection, stream } = this.#host;
    const manager = await jetstreamManager(connection, { checkAPI: false });
    const events = await manager.streams.info(stream);
    const found = await manager.streams.info(name).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (found) return;
    await manager.streams
      .add({
        name,
        subjects: [`walwatch_dead_letters.${slot}.>`],
        description: `What could not be handled of the walwatch slot ${slot}`,
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        num_replicas: events.config.num_replicas,
      })
      .catch((error: unknown) => {
        if (!(error instanceof JetStreamApiError && error.code === alreadyThere)) throw error; // another process was faster
      });
  }
}

/** https://github.com/nats-io/nats-server/blob/main/server/errors.json: JSStreamNameExistErr */
const alreadyThere = 10058;

function notUnique(subscription: string): ConfigurationError {
  return new ConfigurationError([
    {
      message: `several subscriptions are called '${subscription}', and dead letters are kept under their names`,
      solution: "Give them names of their own that stay: { name: 'mailer' }.",
    },
  ]);
}
