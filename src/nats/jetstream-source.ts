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

/** Messages of a group that one process takes at once: the rest is for the others. */
const share = 256;
/** How many are asked for at once. */
const batch = { live: 500, group: 100 };
/** What a held event takes in memory besides its bytes. */
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
  /** What comes next on the way to the handlers. */
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
  /** Tokens of the watchers' names. */
  readonly #wanted: ReadonlySet<string>;
  readonly #position: Position = { created: undefined, consumer: undefined, next: 1 };
  readonly #continuity: Continuity;
  /** What is waited for before more is asked for: letters that are being written. */
  readonly #aside = new Set<Promise<void>>();
  #link: Link | undefined;
  #whenUp: (() => void) | undefined;
  #consumption: Consumption | undefined;
  /** Of the last attempt. */
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

  /** The source asks for no more than there is room for. */
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
      // A connection that is lost just now loses the last acknowledgements: their events come again.
      await Promise.race([this.#handBack().catch(() => {}), patience]);
      clearTimeout(timer);
    }
    this.#link?.close();
  }

  /** Resolves once the broker has got the last acknowledgements, and what nobody here will handle. */
  async #handBack(): Promise<void> {
    const { access, group } = this.#options;
    await this.#over; // what was on its way has come
    if (group) {
      await Promise.all([group.strangers.settle(), ...this.#aside, group.attempts.end()]);
      await access.connection.flush();
      // Makes the server forget what this process has asked for. nats-server 2.9 would take a message that is given back for
      // that request, find nobody there, and keep the message until `ack_wait` is over.
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

  /** The server tells the connection, which may publish other things as well. */
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
      if (group) inbox.late(message); // it is not lost: another version, or another configuration, may read it
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
    // A copy is for those who listen to the old key's subject; our routes know both keys.
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
    // Somebody had it before. What waits to be read here is handed over meanwhile: it is out of order anyway.
    void group.attempts.load(change, message.seq).then(() => {
      if (!this.#ending) goOn();
    });
  }

  /** Only publishers that should not be there make such messages. */
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
  return { from: undefined, to: '', reason }; // where in the WAL that was is not known here
}

function connectionClosed(): WatchError {
  return new WatchError('CONNECTION', 'the connection to NATS was closed, and does not come back by itself', {
    solution:
      'connect({ maxReconnectAttempts: -1 }) reconnects for ever. At a shutdown stop the watch before the connection.',
  });
}

function eventsMissed(reason: string): WatchError {
  return new WatchError('CONNECTION', `events may have been missed: ${reason}`, {
    solution: 'Bring what depends on them up to date.',
  });
}

function unreadable({ subject, seq }: StreamMessage, reason: string): WatchError {
  return new WatchError('PROTOCOL', `message ${seq} on ${subject} makes no sense: ${reason}`, {
    solution: 'Only relay() may publish to the stream: look at the permissions of other clients.',
  });
}

function tooNew(version: unknown): WatchError {
  return new ConfigurationError([
    {
      message: `the worker relays messages of version ${String(version)}, which this walwatch does not know`,
      solution: 'Bring walwatch up to date here first, then in the worker.',
    },
  ]);
}
