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
  /** The name of the group and of its consumer. */
  readonly name: string;
  /** The names of the watchers of this process. */
  readonly watchers: readonly string[];
  readonly letters: DeadLetterStream;
  slot(): string;
  /** Returns whether some subscription limits its attempts. */
  countsAttempts(): boolean;
  warn(warning: WatchError): void;
}

/** Checks between two notes of the position and of the watchers. */
const keepEvery = 10;
/** Milliseconds without a new note after which no running process has the watcher. */
const longestSilence = 300_000;
/** Milliseconds until a message whose dead letter could not be written is delivered again. */
const again = 10_000;

/** The group of processes that share a consumer, as one of them sees it. */
export class Group {
  readonly name: string;
  readonly attempts: BegunAttempts;
  readonly strangers: Strangers;
  readonly #host: GroupHost;
  readonly #notes: GroupNotes;
  #looks = 0;
  #kept = 0;
  /** False if this process cannot read the note: then it must not overwrite it. */
  #mayNote = true;

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
      isAlive: (token) => this.#isAlive(token),
      bury: (message, error) => this.bury(message, error),
      giveUp: (token) => this.#giveUp(token),
      warn: (warning) => host.warn(warning),
    });
  }

  /**
   * Fills in the group's position, after `announce()`: by then the stream of the notes exists. nats-server before 2.9.15 crashes when it
   * is asked for a message of a stream that another process is creating.
   * @returns whether the position is known
   * @throws WatchError if the note cannot be read at the moment
   */
  async recall(position: Position): Promise<boolean> {
    const found = await this.#notes.find<Position>('position');
    this.#mayNote = found !== 'denied';
    const noted = found === 'denied' ? undefined : found;
    const isNews =
      position.created === undefined || (noted?.created === position.created && noted.next > position.next);
    if (noted && isNews)
      Object.assign(position, { created: noted.created, consumer: noted.consumer, next: noted.next });
    return position.created !== undefined;
  }

  /** Notes that the group has this process's watchers. Repeated while the process runs, because notes expire and may be erased. */
  async announce(): Promise<void> {
    const { watchers } = this.#host;
    await Promise.all(watchers.map((watcher) => this.#notes.write({ watcher }, 'watchers', subjectToken(watcher))));
  }

  async remember(position: Position): Promise<void> {
    this.#kept = position.next;
    if (this.#mayNote) await this.#notes.write(position, 'position');
  }

  /** Notes the position and the watchers from time to time. The position never passes a message that is not read. */
  async keep(position: Position, now: boolean): Promise<void> {
    const isTime = ++this.#looks % keepEvery === 0;
    if (now || (isTime && position.next !== this.#kept)) await this.remember(position);
    if (isTime) await this.announce();
  }

  /** Whether another process has already reported the missed events. */
  async isTold(position: Position): Promise<boolean> {
    const noted = await this.#notes.read<Position>('position');
    return noted?.created === position.created && noted !== undefined && noted.next >= position.next;
  }

  /** Writes a dead letter for a message that no handler can receive. If that fails, the message is delivered again. */
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
    const filtered = filtersOf(consumer.config).map(watcherTokenOf); // a filter for several watchers gives `>` or ''
    return new Set([...noted, ...filtered]);
  }

  async #isAlive(token: string): Promise<boolean> {
    const age = await this.#notes.age('watchers', token);
    return age === undefined || age < longestSilence;
  }

  /** Stops reading the events of a watcher. If the filter cannot leave them out, the note is erased, so that they are skipped.
   * Otherwise the note stays for the events that are already being delivered. */
  async #giveUp(token: string): Promise<boolean> {
    try {
      const consumer = await this.#consumer();
      const filter = watcherTokenSubject(this.#host.slot(), token);
      if (consumer && (await narrow(await managerOf(this.#host.access), consumer, filter))) return true;
    } catch (cause) {
      const message = `could not remove the watcher ${token} from the filter of the consumer '${this.name}'`;
      this.#host.warn(new WatchError('CONNECTION', message, { cause }));
      return true;
    }
    await this.#notes.erase('watchers', token);
    return false;
  }

  async #consumer(): Promise<ConsumerInfo | undefined> {
    return findConsumer(await managerOf(this.#host.access), this.#host.stream, this.name);
  }
}
