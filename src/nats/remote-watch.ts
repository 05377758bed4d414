import { JetStreamApiError, type JsMsg } from '@nats-io/jetstream';
import { type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { TypeCatalog } from '../postgres/types.ts';
import { Budget } from '../changes/budget.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import type { OnError, Subscription } from '../types/delivery.ts';
import { type ConfigurationIssue, ConfigurationError, throwIssues, WatchError } from '../errors.ts';
import type { Logger } from '../observe/logger.ts';
import { Outcome, stopped } from '../watch/outcome.ts';
import { Reporter } from '../observe/reporter.ts';
import type { WatcherDetails, WatchEventMap, WatchState, WatchStatus } from '../types/events.ts';
import { onErrorIssues, unknownKeys } from '../options.ts';
import { Supervisor } from '../stream/supervisor.ts';
import type { ChangeIterator } from '../routing/change-iterator.ts';
import { Iterators } from '../routing/iterators.ts';
import { Router } from '../routing/router.ts';
import { Subscriptions } from '../routing/subscriptions.ts';
import type { Watch } from '../types/watch.ts';
import { describeWatcher } from '../watchers/details.ts';
import type { Watchers } from '../types/watchers.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';
import { Arrivals } from './arrivals.ts';
import { ackWait, Consumption, type ConsumptionHost, type Position } from './consumption.ts';
import { DeadLetterStream } from './dead-letters.ts';
import { giveBack, Inbox } from './inbox.ts';
import { type Link, linkOf } from './link.ts';
import { type EventMessage, readMessage } from './message.ts';
import { natsIssues, type NatsOptions } from './options.ts';
import { isMissing } from './stream.ts';
import { subjectToken, watcherTokenOf } from './subjects.ts';

/** Options of `createRemoteWatch`. */
export interface RemoteWatchOptions<W extends Watchers = Watchers> extends NatsOptions {
  /** Those of the worker, or some of them. */
  readonly watchers: W;
  /** A group of processes that share a durable consumer: each event goes to one of them, until it is handled. Without it every
   *  process hears what happens while it runs. */
  readonly durable?: string;
  /** Default of all subscriptions: `'retry'` with `durable`, otherwise a failed event is reported and passed over. */
  readonly onError?: OnError;
  /** pino or pino-shaped. Default: silent. */
  readonly logger?: Logger;
}

/**
 * The watch of a worker that relays to JetStream, in any other process. Opens nothing: `start()` does.
 *
 * @example
 * ```ts
 * const watch = createRemoteWatch({ connection, stream: 'accounts', watchers, durable: 'mailer' });
 * watch.subscribe('users:inserted', (event) => sendWelcome(event.id));
 * await watch.start();
 * ```
 * @throws ConfigurationError with every problem at once
 */
export function createRemoteWatch<W extends Watchers>(options: RemoteWatchOptions<W>): Watch<W> {
  const issues: ConfigurationIssue[] = natsIssues(options);
  unknownKeys(options, ['connection', 'stream', 'watchers', 'durable', 'onError', 'logger'], 'option', issues);
  const { durable, onError } = options;
  if (durable !== undefined && !(typeof durable === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(durable))) {
    issues.push({ message: 'durable is no name for a consumer', solution: "Letters, digits, '-' and '_': 'mailer'." });
  }
  if (onError !== undefined) issues.push(...onErrorIssues(onError));
  const given = options.watchers as Watchers | undefined;
  const checked = checkEntries(given?.entries, given?.when);
  throwIssues([...issues, ...checked.issues]);
  return new RemoteAssembly(options, checked.watchers) as unknown as Watch<W>;
}

/** Bytes of undelivered events above which reading pauses. */
const highWaterMark = 16 * 1024 * 1024;
/** Messages of a group that one process takes at once: the rest is for the others. */
const share = 256;
/** Milliseconds that `stop()` waits for running handlers, and then for the broker. */
const stopTimeout = 10_000;
const flushTimeout = 2000;
/** What a held event takes in memory besides its bytes. */
const overhead = 512;

/** Puts the stages together, as the worker's assembly does, with JetStream in the place of PostgreSQL. */
class RemoteAssembly {
  readonly #options: RemoteWatchOptions;
  readonly #connection: NatsConnection;
  readonly #watchers: readonly Watcher[];
  /** Tokens of the watchers' names. */
  readonly #wanted: ReadonlySet<string>;
  readonly #reporter: Reporter;
  readonly #outcome = new Outcome();
  readonly #inbox: Inbox;
  readonly #dispatcher: Dispatcher;
  readonly #router: Router;
  readonly #subscriptions: Subscriptions;
  readonly #iterators = new Iterators(this.#outcome.over);
  readonly #arrivals: Arrivals;
  readonly #supervisor: Supervisor;
  readonly #position: Position = { created: undefined, next: 1 };
  #state: WatchState = 'idle';
  #error: WatchError | undefined;
  #ending: Promise<void> | undefined;
  #link: Link | undefined;
  #whenUp: (() => void) | undefined;
  #consumption: Consumption | undefined;
  #working: NodeJS.Timeout | undefined;
  #connects = 0;
  #slot = '';

  constructor(options: RemoteWatchOptions, watchers: readonly Watcher[]) {
    const { durable, stream, logger } = options;
    const connection = options.connection as NatsConnection;
    this.#options = options;
    this.#connection = connection;
    this.#watchers = watchers;
    this.#wanted = new Set(watchers.map(({ name }) => subjectToken(name)));
    const reporter = (this.#reporter = new Reporter(logger, { stream, ...(durable !== undefined && { durable }) }));
    const budget = new Budget(
      highWaterMark,
      () => {},
      () => this.#inbox.wake(),
    );
    this.#inbox = new Inbox(budget, durable !== undefined);
    const letters = new DeadLetterStream({
      connection,
      stream,
      group: durable ?? 'live',
      slot: () => this.#slot,
      unique: (name) => this.#subscriptions.isUnique(name),
      warn: (warning) => reporter.warn(warning),
    });
    const dispatcher = (this.#dispatcher = new Dispatcher(this.#inbox, {
      failed: (failure) => reporter.handlerFailed(failure),
      stop: (error) => this.#fail(error),
      bury: (dead) => letters.write(dead),
    }));
    const router = (this.#router = new Router(
      watchers,
      (...found) => dispatcher.deliver(...found),
      reporter.log,
      { ledger: this.#inbox, limit: highWaterMark, newest: () => undefined }, // nobody hears of whole transactions here
      (warning) => reporter.warnOnce([warning]),
    ));
    const onError = options.onError ?? (durable === undefined ? { attempts: 1, then: 'skip' } : 'retry');
    // Never asked: `transaction` is refused.
    const noDatabase = { slot: '', create: false, open: () => Promise.reject(stopped()), systemIdentifier: () => '' };
    this.#subscriptions = new Subscriptions(router, { onError }, noDatabase);
    const types = new TypeCatalog(undefined);
    this.#arrivals = new Arrivals(
      watchers,
      types,
      (bound) => {
        router.bind([bound], types);
        throwIssues(this.#subscriptions.issues([bound]));
      },
      (warnings) => reporter.warnOnce(warnings),
    );
    this.#supervisor = new Supervisor({
      attempt: () => ({ run: () => this.#attempt() }),
      classify: (cause) => this.#classify(cause),
      disconnected: (error, retryIn) => this.#disconnected(error, retryIn),
    });
  }

  // ── Subscribing ──────────────────────────────────────────────────────────────────────────────────────────────────

  subscribe(watcher: string, ...rest: readonly unknown[]): Subscription {
    if (this.#ending) throw stopped();
    const options = rest.at(-1);
    if (typeof options === 'object' && options !== null && 'transaction' in options && options.transaction) {
      throwIssues([
        {
          message: `${watcher}: transaction: true is for createWatch(), which has the database`,
          solution: 'Deduplicate by context.eventId.',
        },
      ]);
    }
    return this.#subscriptions.subscribe(watcher, rest);
  }

  unsubscribe(watcher: string, ...rest: readonly unknown[]): boolean {
    return this.#subscriptions.unsubscribe(watcher, rest) > 0;
  }

  events(watcher: string, ...rest: readonly unknown[]): ChangeIterator {
    if (this.#ending) throw stopped();
    return this.#iterators.open((handler) => this.#subscriptions.iterate(watcher, rest, handler));
  }

  // ── Lifecycle ────────────────────────────────────────────────────────────────────────────────────────────────────

  start(): Promise<void> {
    if (this.#state === 'idle') {
      this.#state = 'connecting';
      this.#reporter.log.info({ watchers: this.#watchers.map(({ name }) => name) }, 'starting');
      this.#link = linkOf(this.#connection, {
        down: () => this.#consumption?.close(new WatchError('CONNECTION', 'the connection to NATS is lost')),
        up: () => this.#whenUp?.(),
        closed: () => this.#fail(connectionClosed()),
      });
      this.#supervisor.run().catch((error: unknown) => this.#fail(this.#classify(error)));
    }
    return this.#outcome.started;
  }

  stop(): Promise<void> {
    return (this.#ending ??= this.#shutDown('stopping').then(() => {
      this.#state = 'stopped';
      this.#reporter.log.info({}, 'stopped');
      this.#outcome.ending(stopped());
      this.#outcome.stopped();
    }));
  }

  get closed(): Promise<void> {
    return this.#outcome.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #fail(error: WatchError): void {
    if (this.#ending) return;
    this.#error = error;
    this.#ending = this.#shutDown('failed').then(() => {
      this.#outcome.failed(error, this.#options.logger !== undefined || this.#reporter.emitter.heard('error'));
    });
    this.#reporter.failed(error);
    this.#outcome.ending(error);
  }

  async #shutDown(state: 'stopping' | 'failed'): Promise<void> {
    this.#state = state;
    this.#supervisor.stop();
    this.#consumption?.close();
    this.#whenUp?.();
    this.#inbox.wake(true);
    await this.#dispatcher.close(stopTimeout, stopped());
    clearInterval(this.#working);
    this.#subscriptions.close();
    const there = this.#link?.isDown === false && !this.#connection.isClosed();
    this.#link?.close();
    if (!there) return;
    this.#inbox.giveBack();
    await flush(this.#connection);
  }

  // ── Streaming ────────────────────────────────────────────────────────────────────────────────────────────────────

  async #attempt(): Promise<void> {
    if (this.#link?.isDown) await new Promise<void>((resolve) => (this.#whenUp = resolve));
    this.#whenUp = undefined;
    if (this.#ending) return;
    const { stream, durable } = this.#options;
    const watchers = this.#watchers.map(({ name }) => name);
    const wanted = { connection: this.#connection, stream, durable, watchers };
    this.#consumption = new Consumption(wanted, this.#position, {
      streaming: (found) => this.#streaming(found),
      take: (message) => this.#take(message),
    });
    await this.#consumption.run();
  }

  #streaming({ slot, isOther, missed, ackWait: wait }: Parameters<ConsumptionHost['streaming']>[0]): void {
    if (this.#ending) return;
    if (isOther) this.#inbox.forget();
    this.#slot = slot;
    this.#state = 'streaming';
    this.#error = undefined;
    this.#supervisor.succeeded();
    if (missed !== undefined) {
      this.#reporter.warn(eventsMissed(missed));
      // For who passes events on, as `walwatch/sse`: where in the WAL that was is not known here.
      this.#reporter.emitter.emit('gap', { from: undefined, to: '', reason: missed });
    }
    this.#reporter.streaming(this.#connects++, undefined, undefined);
    this.#outcome.streaming();
    clearInterval(this.#working);
    if (this.#options.durable !== undefined)
      this.#working = setInterval(() => this.#inbox.working(), Math.min(wait, ackWait) / 3);
  }

  #take(message: JsMsg): Promise<void> | undefined {
    if (this.#ending) {
      if (this.#options.durable !== undefined) giveBack(message);
      return undefined;
    }
    if (this.#inbox.isKnown(message)) return undefined;
    try {
      this.#route(message);
    } catch (error) {
      this.#fail(error instanceof WatchError ? error : unreadable(message, error));
    }
    return this.#inbox.room(this.#options.durable === undefined ? Infinity : share);
  }

  #route(message: JsMsg): void {
    const told = this.#wanted.has(watcherTokenOf(message.subject)) ? this.#read(message) : undefined;
    const change = told && this.#arrivals.change(told, message.data.length + overhead);
    if (!change) {
      if (this.#options.durable !== undefined) message.ack();
      return;
    }
    this.#inbox.enter(change, message);
    this.#router.route(change);
    this.#inbox.settle(change);
  }

  /** Undefined: to be passed over. A copy is for those who listen to the old key's subject; our routes know both keys. */
  #read(message: JsMsg): EventMessage | undefined {
    const told = readMessage(message.string());
    if (told === undefined) this.#reporter.warn(unreadable(message, 'it is none of ours'));
    else if ((told.version as number) !== 1) throw tooNew(told.version);
    return told?.copy ? undefined : told;
  }

  #disconnected(error: WatchError, retryIn: number): void {
    if (this.#ending) return;
    this.#state = 'disconnected';
    this.#error = error;
    this.#reporter.disconnected(error, retryIn);
  }

  #classify(cause: unknown): WatchError {
    if (cause instanceof WatchError) return cause;
    const { stream } = this.#options;
    if (isMissing(cause)) {
      return new WatchError('CONNECTION', `there is no stream '${stream}'`, {
        solution: 'The worker makes it when it starts: relay(watch, { connection, stream }). It is waited for.',
        cause,
      });
    }
    const denied = [cause, (cause as { cause?: unknown } | null)?.cause].find(isDenial);
    if (denied) {
      return new WatchError('PERMISSION', `NATS does not permit it: ${denied.message}`, {
        solution: 'docs/nats.md lists the subjects that a process needs.',
        cause,
      });
    }
    const { message } = cause instanceof Error ? cause : { message: String(cause) };
    return new WatchError('CONNECTION', cause instanceof JetStreamApiError ? `JetStream: ${message}` : message, {
      cause,
    });
  }

  // ── Observing ────────────────────────────────────────────────────────────────────────────────────────────────────

  on<E extends keyof WatchEventMap>(event: E, listener: (value: WatchEventMap[E]) => void): () => void {
    return this.#reporter.emitter.on(event, listener as (value: any) => void);
  }

  status(): WatchStatus {
    const { lastEventAt, running } = this.#dispatcher;
    return {
      state: this.#state,
      subscriptions: this.#router.subscriptions,
      running,
      lastEventAt: lastEventAt === 0 ? undefined : new Date(lastEventAt),
      error: this.#error,
    };
  }

  /** Of the database only what the events tell is known: the primary key. */
  details(name: string): WatcherDetails {
    const { watcher, primaryKey } = this.#subscriptions.route(name);
    return { ...describeWatcher(watcher, undefined, undefined, undefined), primaryKey };
  }
}

/** Waits until the broker has got the last acknowledgements, but not for ever. */
async function flush(connection: NatsConnection): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, flushTimeout)));
  // A connection that is lost just now loses them: their events come again.
  await Promise.race([connection.flush().catch(() => {}), patience]);
  clearTimeout(timer);
}

function connectionClosed(): WatchError {
  return new WatchError('CONNECTION', 'the connection to NATS was closed, and does not come back by itself', {
    solution:
      'connect({ maxReconnectAttempts: -1 }) reconnects for ever. At a shutdown stop the watch before the connection.',
  });
}

/** The client wraps it where it belongs to a request. */
function isDenial(error: unknown): error is PermissionViolationError {
  return error instanceof PermissionViolationError;
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
