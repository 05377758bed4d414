import type { ChangeSource, SourceListener, Stage } from '../changes/stage.ts';
import type { CapturedChange } from '../changes/change.ts';
import { ConfigurationError, WatchError } from '../errors.ts';
import type { Reporter } from '../observe/reporter.ts';
import { type JetStreamAccess, apiPrefixOf } from './access.ts';
import type { Arrivals } from './arrivals.ts';
import { classifyNats } from './classify.ts';
import { Consumption, type ConsumptionHost } from './consumption.ts';
import { Continuity, type Position } from './continuity.ts';
import type { Group } from './group.ts';
import type { Inbox } from './inbox.ts';
import { type Link, linkOf } from './link.ts';
import { readMessage } from './message.ts';
import { ackWait } from './shared-consumer.ts';
import type { StreamMessage } from './stream-message.ts';
import { subjectToken, watcherTokenOf } from './subjects.ts';

/** Messages of a group that one process handles at once: the rest is for the other processes. */
const share = 256;
/** Messages of one pull request. */
const batch = { live: 500, group: 100 };
/** Memory of a held event in addition to its bytes. */
const overhead = 512;

export interface JetStreamOptions {
  readonly access: JetStreamAccess;
  readonly stream: string;
  /** The names of the watchers. */
  readonly watchers: readonly string[];
  /** The processes that share a consumer. */
  readonly group: Group | undefined;
}

export interface JetStreamParts {
  readonly inbox: Inbox;
  readonly arrivals: Arrivals;
  /** The next stage on the way to the handlers. */
  readonly next: Stage;
  readonly reporter: Reporter;
}

export interface JetStreamHost extends Pick<SourceListener, 'streaming'> {
  /** Ends the watch. */
  fail(error: WatchError): void;
}

/** The changes that a worker relays to a JetStream stream. */
export class JetStreamSource implements ChangeSource {
  readonly #options: JetStreamOptions;
  readonly #parts: JetStreamParts;
  readonly #host: JetStreamHost;
  /** The subject tokens of the watchers' names. */
  readonly #wanted: ReadonlySet<string>;
  readonly #position: Position = { created: undefined, consumer: undefined, next: 1 };
  readonly #continuity: Continuity;
  /** Dead letters that are being written. Reading waits for them. */
  readonly #aside = new Set<Promise<void>>();
  #link: Link | undefined;
  #whenUp: (() => void) | undefined;
  #consumption: Consumption | undefined;
  /** The end of the last attempt. */
  #over: Promise<void> = Promise.resolve();
  #working: NodeJS.Timeout | undefined;
  #ending = false;
  /** The slot of the worker that relays. */
  slot = '';

  constructor(options: JetStreamOptions, parts: JetStreamParts, host: JetStreamHost) {
    this.#options = options;
    this.#parts = parts;
    this.#host = host;
    this.#wanted = new Set(options.watchers.map(subjectToken));
    this.#continuity = new Continuity(this.#position, options.stream);
  }

  async run(): Promise<void> {
    this.#link ??= linkOf(this.#options.access.connection, {
      down: () => this.#consumption?.close(new WatchError('CONNECTION', 'the connection to NATS is lost')),
      up: () => this.#whenUp?.(),
      closed: () => this.#host.fail(connectionClosed()),
      denied: (subject, error) => this.#denied(subject, error),
    });
    if (this.#link.isDown) await new Promise<void>((resolve) => (this.#whenUp = resolve));
    this.#whenUp = undefined;
    if (this.#ending) return;
    const { inbox, reporter } = this.#parts;
    const group = this.#options.group !== undefined;
    this.#consumption = new Consumption(this.#options, this.#position, this.#continuity, {
      found: (slot) => (this.slot = slot),
      streaming: (found) => this.#streaming(found),
      take: (message) => this.#take(message),
      room: () =>
        this.#aside.size > 0 ? Promise.all(this.#aside).then(() => {}) : inbox.room(group ? share : Infinity),
      wanted: () => (group ? Math.min(batch.group, inbox.free(share)) : batch.live),
      missed: (reason) => this.#missed(reason),
      warn: (warning) => reporter.warnOnce([warning]),
    });
    const run = this.#consumption.run();
    this.#over = run.catch(() => {});
    await run;
  }

  /** Nothing to do: the source only requests as many messages as there is room for. */
  pause(): void {}

  resume(): void {
    this.#parts.inbox.wake();
  }

  end(): void {
    this.#ending = true;
    this.#consumption?.close();
    this.#whenUp?.();
    this.#parts.inbox.wake(true);
  }

  async close(timeout: number): Promise<void> {
    clearInterval(this.#working);
    const { connection } = this.#options.access;
    const there = this.#link?.isDown === false && !connection.isClosed();
    if (there) {
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout)));
      // If the connection is lost now, the last acknowledgements are lost too: their events are delivered again.
      await Promise.race([this.#handBack().catch(() => {}), patience]);
      clearTimeout(timer);
    }
    this.#link?.close();
  }

  /** Resolves once the broker has received the last acknowledgements and the messages that are given back. */
  async #handBack(): Promise<void> {
    const { access, group } = this.#options;
    await this.#over; // all requested messages have arrived
    if (group) {
      await Promise.all([group.strangers.settle(), ...this.#aside, group.attempts.end()]);
      await access.connection.flush();
      // A check makes the server drop this process's pending request. Otherwise nats-server 2.9 answers that request with a message
      // that was given back, gets no reply, and keeps the message until `ack_wait` is over.
      await this.#consumption?.look(true);
      this.#parts.inbox.giveBack();
    }
    await access.connection.flush();
  }

  #streaming({ isOther, missed, ackWait: wait }: Parameters<ConsumptionHost['streaming']>[0]): void {
    if (this.#ending) return;
    const { inbox, reporter } = this.#parts;
    if (isOther) inbox.forget();
    if (missed !== undefined) reporter.warn(eventsMissed(missed));
    this.#host.streaming({ gap: missed === undefined ? undefined : gapOf(missed) });
    clearInterval(this.#working);
    if (this.#options.group) this.#working = setInterval(() => inbox.working(), Math.min(wait, ackWait) / 3);
  }

  #missed(reason: string): void {
    this.#parts.reporter.warn(eventsMissed(reason));
    this.#parts.reporter.gap(gapOf(reason));
  }

  /** The server reports a denied subject to the whole connection, which the application may use for other things. */
  #denied(subject: string, error: Error): void {
    const { access, stream } = this.#options;
    const tokens = subject.split('.');
    const isAck = subject.startsWith('$JS.ACK.') && (tokens[2] === stream || tokens[4] === stream);
    if (isAck || subject.startsWith(`${apiPrefixOf(access)}.CONSUMER.MSG.NEXT.${stream}.`))
      this.#consumption?.close(classifyNats(error, stream));
  }

  #take(message: StreamMessage): void {
    const { inbox } = this.#parts;
    const { group } = this.#options;
    if (this.#ending) {
      if (group) inbox.late(message);
      return;
    }
    if (group && inbox.isKnown(message)) return;
    try {
      this.#route(message);
    } catch (error) {
      if (group) inbox.late(message); // given back: a process with another version or configuration may read it
      this.#host.fail(classifyNats(error, this.#options.stream));
    }
  }

  #route(message: StreamMessage): void {
    const { arrivals } = this.#parts;
    const { group } = this.#options;
    if (!this.#wanted.has(watcherTokenOf(message.subject))) {
      group?.strangers.take(message);
      return;
    }
    const told = readMessage(message.subject, message.data);
    if (typeof told === 'string') {
      this.#unreadable(message, told);
      return;
    }
    if (!('watcher' in told)) throw tooNew(told.version);
    // A copy is for subscribers of the old key's subject; our routes know both keys.
    const change = told.copy ? undefined : arrivals.change(told, message.data.length + overhead);
    if (change) this.#deliver(change, message);
    else if (group) message.ack();
  }

  #deliver(change: CapturedChange, message: StreamMessage): void {
    const { inbox, next } = this.#parts;
    const { group } = this.#options;
    inbox.enter(change, message);
    const goOn = () => {
      next.push(change);
      inbox.settle(change);
    };
    if (!group?.attempts.wanted || message.deliveries === 1) {
      goOn();
      return;
    }
    // A redelivery. Later messages may overtake it while its note is read: redelivery breaks the order anyway.
    void group.attempts.load(change, message.seq).then(() => {
      if (!this.#ending) goOn();
    });
  }

  /** Only other publishers, which should not exist, write such messages. */
  #unreadable(message: StreamMessage, reason: string): void {
    const error = unreadable(message, reason);
    this.#parts.reporter.warn(error);
    const { group } = this.#options;
    if (!group) return;
    const written = group.bury(message, error).finally(() => this.#aside.delete(written));
    this.#aside.add(written);
  }
}

function gapOf(reason: string) {
  return { from: undefined, to: '', reason }; // positions in the WAL are not known here
}

function connectionClosed(): WatchError {
  return new WatchError('CONNECTION', 'the connection to NATS was closed and will not reconnect', {
    solution:
      'Use connect({ maxReconnectAttempts: -1 }), which never stops reconnecting. At shutdown, stop the watch before you close the connection.',
  });
}

function eventsMissed(reason: string): WatchError {
  return new WatchError('CONNECTION', `events may have been missed: ${reason}`, {
    solution: 'Rebuild whatever depends on these events from the database.',
  });
}

function unreadable({ subject, seq }: StreamMessage, reason: string): WatchError {
  return new WatchError('PROTOCOL', `message ${seq} on ${subject} is not a walwatch event: ${reason}`, {
    solution: 'Only relay() may publish to the stream: check the permissions of other clients.',
  });
}

function tooNew(version: unknown): WatchError {
  return new ConfigurationError([
    {
      message: `the worker relays messages of format version ${String(version)}; this version of walwatch reads version 1`,
      solution: 'Upgrade walwatch in this process first, then in the worker.',
    },
  ]);
}
