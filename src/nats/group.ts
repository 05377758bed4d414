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

/** Looks between two notes of the position, and of the watchers. */
const keepEvery = 10;
/** Milliseconds after which a watcher that no process has noted again belongs to none that lives. */
const longestSilence = 300_000;
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
  /** Not over a note that this process cannot read. */
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

  /** Fills in where the group stands. Returns whether that is known. @throws WatchError if the note cannot be read just now */
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

  /** Says that the group has this process's watchers, and again while it lives: such a note gets old, or erased. */
  async announce(): Promise<void> {
    const { watchers } = this.#host;
    await Promise.all(watchers.map((watcher) => this.#notes.write({ watcher }, 'watchers', subjectToken(watcher))));
  }

  async remember(position: Position): Promise<void> {
    this.#kept = position.next;
    if (this.#mayNote) await this.#notes.write(position, 'position');
  }

  /** Notes the position and the watchers from time to time. The position is never more than what is read. */
  async keep(position: Position, now: boolean): Promise<void> {
    const isTime = ++this.#looks % keepEvery === 0;
    if (now || (isTime && position.next !== this.#kept)) await this.remember(position);
    if (isTime) await this.announce();
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

  async #isAlive(token: string): Promise<boolean> {
    const age = await this.#notes.age('watchers', token);
    return age === undefined || age < longestSilence;
  }

  /** Where new events still come, only without its note are they passed over. Else the note stays for those on their way. */
  async #giveUp(token: string): Promise<boolean> {
    try {
      const consumer = await this.#consumer();
      const filter = watcherTokenSubject(this.#host.slot(), token);
      if (consumer && (await narrow(await managerOf(this.#host.access), consumer, filter))) return true;
    } catch (cause) {
      const message = `the consumer '${this.name}' could not be made to bring no more events of ${token}`;
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
