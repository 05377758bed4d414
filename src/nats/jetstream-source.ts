import { type JsMsg, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { ChangeSource, SourceListener, Stage } from '../changes/stage.ts';
import { ConfigurationError, WatchError } from '../errors.ts';
import type { Reporter } from '../observe/reporter.ts';
import type { Arrivals } from './arrivals.ts';
import { ackWait, Consumption, type ConsumptionHost, type Position } from './consumption.ts';
import type { Inbox } from './inbox.ts';
import { type Link, linkOf } from './link.ts';
import { type EventMessage, readMessage } from './message.ts';
import { subjectToken, watcherTokenOf } from './subjects.ts';

/** Messages of a group that one process takes at once: the rest is for the others. */
const share = 256;
/** What a held event takes in memory besides its bytes. */
const overhead = 512;

export interface JetStreamOptions {
  readonly connection: NatsConnection;
  readonly stream: string;
  /** Of a group of processes. */
  readonly durable: string | undefined;
  /** The names of the watchers. */
  readonly watchers: readonly string[];
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
  readonly #position: Position = { created: undefined, next: 1 };
  #link: Link | undefined;
  #whenUp: (() => void) | undefined;
  #consumption: Consumption | undefined;
  #working: NodeJS.Timeout | undefined;
  #ending = false;
  /** The slot of the worker that relays. */
  slot = '';

  constructor(options: JetStreamOptions, parts: JetStreamParts, host: JetStreamHost) {
    this.#options = options;
    this.#parts = parts;
    this.#host = host;
    this.#wanted = new Set(options.watchers.map(subjectToken));
  }

  async run(): Promise<void> {
    this.#link ??= linkOf(this.#options.connection, {
      down: () => this.#consumption?.close(new WatchError('CONNECTION', 'the connection to NATS is lost')),
      up: () => this.#whenUp?.(),
      closed: () => this.#host.fail(connectionClosed()),
    });
    if (this.#link.isDown) await new Promise<void>((resolve) => (this.#whenUp = resolve));
    this.#whenUp = undefined;
    if (this.#ending) return;
    this.#consumption = new Consumption(this.#options, this.#position, {
      streaming: (found) => this.#streaming(found),
      take: (message) => this.#take(message),
    });
    await this.#consumption.run();
  }

  /** The inbox waits for room by itself. */
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
    const { connection } = this.#options;
    const there = this.#link?.isDown === false && !connection.isClosed();
    this.#link?.close();
    if (!there) return;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout)));
    // A connection that is lost just now loses the last acknowledgements: their events come again.
    await Promise.race([this.#handBack().catch(() => {}), patience]);
    clearTimeout(timer);
  }

  /** Resolves once the broker has got the last acknowledgements, and what nobody here will handle. */
  async #handBack(): Promise<void> {
    const { connection, stream, durable } = this.#options;
    if (durable !== undefined) {
      // Makes the server forget what this process has asked for. nats-server 2.9 would take a message that is given back for
      // that request, find nobody there, and keep the message until `ack_wait` is over.
      await (await jetstreamManager(connection, { checkAPI: false })).consumers.info(stream, durable).catch(() => {});
      this.#parts.inbox.giveBack();
    }
    await connection.flush();
  }

  #streaming({ slot, isOther, missed, ackWait: wait }: Parameters<ConsumptionHost['streaming']>[0]): void {
    if (this.#ending) return;
    const { inbox, reporter } = this.#parts;
    if (isOther) inbox.forget();
    this.slot = slot;
    if (missed !== undefined) reporter.warn(eventsMissed(missed));
    // For who passes events on, as `walwatch/sse`: where in the WAL that was is not known here.
    this.#host.streaming({ gap: missed === undefined ? undefined : { from: undefined, to: '', reason: missed } });
    clearInterval(this.#working);
    if (this.#options.durable !== undefined)
      this.#working = setInterval(() => inbox.working(), Math.min(wait, ackWait) / 3);
  }

  #take(message: JsMsg): Promise<void> | undefined {
    const { inbox } = this.#parts;
    const { durable } = this.#options;
    if (this.#ending) {
      if (durable !== undefined) inbox.late(message);
      return undefined;
    }
    if (inbox.isKnown(message)) return undefined;
    try {
      this.#route(message);
    } catch (error) {
      this.#host.fail(error instanceof WatchError ? error : unreadable(message, error));
    }
    return inbox.room(durable === undefined ? Infinity : share);
  }

  #route(message: JsMsg): void {
    const { inbox, arrivals, next } = this.#parts;
    const told = this.#wanted.has(watcherTokenOf(message.subject)) ? this.#read(message) : undefined;
    const change = told && arrivals.change(told, message.data.length + overhead);
    if (!change) {
      if (this.#options.durable !== undefined) message.ack();
      return;
    }
    inbox.enter(change, message);
    next.push(change);
    inbox.settle(change);
  }

  /** Undefined: to be passed over. A copy is for those who listen to the old key's subject; our routes know both keys. */
  #read(message: JsMsg): EventMessage | undefined {
    const told = readMessage(message.string());
    if (told === undefined) this.#parts.reporter.warn(unreadable(message, 'it is none of ours'));
    else if ((told.version as number) !== 1) throw tooNew(told.version);
    return told?.copy ? undefined : told;
  }
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

function unreadable({ subject, seq }: JsMsg, cause: unknown): WatchError {
  return new WatchError('PROTOCOL', `message ${seq} on ${subject} makes no sense: ${String(cause)}`, {
    solution: 'Only relay() may publish to the stream: look at the permissions of other clients.',
    cause,
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
