import type { ConsumerInfo } from '@nats-io/jetstream';
import { WatchError } from '../errors.ts';
import { type JetStreamAccess, managerOf } from './access.ts';
import { BegunAttempts } from './begun-attempts.ts';
import type { Position } from './continuity.ts';
import type { DeadLetterStream } from './dead-letters.ts';
import { GroupNotes } from './group-notes.ts';
import { filtersOf, findConsumer, narrow } from './shared-consumer.ts';
import type { StreamMessage } from './stream-message.ts';
import { Strangers } from './strangers.ts';
import { subjectToken, watcherTokenOf, watcherTokenSubject } from './subjects.ts';

export interface GroupHost {
  readonly access: JetStreamAccess;
  readonly stream: string;
  /** The group, and its consumer. */
  readonly name: string;
  /** The names of the watchers of this process. */
  readonly watchers: readonly string[];
  readonly letters: DeadLetterStream;
  slot(): string;
  /** Whether some subscription limits its attempts. */
  countsAttempts(): boolean;
  warn(warning: WatchError): void;
}

/** Looks between two notes of the position. */
const keepEvery = 10;
/** Milliseconds until a message whose letter could not be written comes again. */
const again = 10_000;

/** The processes that share a consumer, as one of them sees it. */
export class Group {
  readonly name: string;
  readonly attempts: BegunAttempts;
  readonly strangers: Strangers;
  readonly #host: GroupHost;
  readonly #notes: GroupNotes;
  #looks = 0;
  #kept = 0;

  constructor(host: GroupHost) {
    const { name, access, stream } = host;
    this.name = name;
    this.#host = host;
    this.#notes = new GroupNotes({
      access,
      stream,
      group: name,
      slot: () => host.slot(),
      warn: (warning) => host.warn(warning),
    });
    this.attempts = new BegunAttempts(this.#notes, () => host.countsAttempts());
    this.strangers = new Strangers({
      wanted: () => this.#wanted(),
      bury: (message, error) => this.bury(message, error),
      giveUp: (token) => this.#giveUp(token),
      warn: (warning) => host.warn(warning),
    });
  }

  /** Fills in where the group stands. Returns whether that is known. */
  async recall(position: Position): Promise<boolean> {
    const noted = await this.#notes.read<Position>('position');
    const isNews =
      position.created === undefined || (noted?.created === position.created && noted.next > position.next);
    if (noted && isNews)
      Object.assign(position, { created: noted.created, consumer: noted.consumer, next: noted.next });
    return position.created !== undefined;
  }

  /** Says that the group has this process's watchers. */
  async announce(): Promise<void> {
    const known = new Set(await this.#notes.list('watchers'));
    for (const watcher of this.#host.watchers) {
      const token = subjectToken(watcher);
      if (!known.has(token)) await this.#notes.write({ watcher }, 'watchers', token);
    }
  }

  async remember(position: Position): Promise<void> {
    this.#kept = position.next;
    await this.#notes.write(position, 'position');
  }

  /** Notes the position from time to time. What it says is never more than what is read. */
  async keep(position: Position, now: boolean): Promise<void> {
    if (++this.#looks % keepEvery === 0 && position.next !== this.#kept) now = true;
    if (now) await this.remember(position);
  }

  /** Whether another process has noticed as well what was missed, and has told. */
  async isTold(position: Position): Promise<boolean> {
    const noted = await this.#notes.read<Position>('position');
    return noted?.created === position.created && noted !== undefined && noted.next >= position.next;
  }

  /** Makes a dead letter of a message that no handler can be given. If that fails, it comes again. */
  async bury(message: StreamMessage, error: WatchError): Promise<void> {
    await this.#host.letters.writeRaw(message, error).then(
      () => message.ack(),
      () => message.giveBack(again),
    );
  }

  async #wanted(): Promise<ReadonlySet<string> | undefined> {
    const noted = await this.#notes.list('watchers');
    const consumer = await this.#consumer().catch(() => undefined);
    if (!noted || !consumer) return undefined;
    const filtered = filtersOf(consumer.config).map(watcherTokenOf); // of more than one watcher: `>` or nothing
    return new Set([...noted, ...filtered]);
  }

  async #giveUp(token: string): Promise<void> {
    await this.#notes.erase('watchers', token);
    const consumer = await this.#consumer().catch(() => undefined);
    if (!consumer) return;
    await narrow(await managerOf(this.#host.access), consumer, watcherTokenSubject(this.#host.slot(), token)).catch(
      (cause: unknown) =>
        this.#host.warn(
          new WatchError(
            'CONNECTION',
            `the consumer '${this.name}' could not be made to bring no more events of ${token}`,
            { cause },
          ),
        ),
    );
  }

  async #consumer(): Promise<ConsumerInfo | undefined> {
    return findConsumer(await managerOf(this.#host.access), this.#host.stream, this.name);
  }
}
