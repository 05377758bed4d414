import { Budget } from '../changes/budget.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import { rowSql } from '../delivery/row-sql.ts';
import { type ConfigurationIssue, throwIssues } from '../errors.ts';
import type { Logger } from '../types/logger.ts';
import { checkListener, slotWatchEvents } from '../observe/emitter.ts';
import { Reporter } from '../observe/reporter.ts';
import { loggerIssues, onErrorIssues, watchersIssues } from '../options.ts';
import { unknownKeys } from '../option-names.ts';
import { TypeCatalog } from '../postgres/types.ts';
import { Router } from '../routing/router.ts';
import { Subscriptions } from '../routing/subscriptions.ts';
import { Supervisor } from '../stream/supervisor.ts';
import type { OnError, Subscription } from '../types/delivery.ts';
import type { WatcherDetails, WatchEventMap } from '../types/events.ts';
import type { Watch } from '../types/watch.ts';
import type { Watchers } from '../types/watchers.ts';
import { WatchCore, type WatchParts } from '../watch/core.ts';
import { Lifecycle } from '../watch/lifecycle.ts';
import { stopped } from '../watch/outcome.ts';
import { describeWatcher } from '../watchers/details.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';
import { Arrivals } from './arrivals.ts';
import { classifyNats } from './classify.ts';
import { DeadLetterStream } from './dead-letters.ts';
import { Group } from './group.ts';
import { Inbox } from './inbox.ts';
import { JetStreamSource } from './jetstream-source.ts';
import { accessOf, natsIssues, natsOptionNames, type NatsOptions } from './options.ts';

/** Options of `createRemoteWatch`. */
export interface RemoteWatchOptions<W extends Watchers = Watchers> extends NatsOptions {
  /** Those of the worker, or some of them. */
  readonly watchers: W;
  /** A group of processes that share a durable consumer: each event goes to one of them, until it is handled. Without it every
   *  process hears what happens while it runs. */
  readonly durable?: string;
  /** Default of all subscriptions: `'retry'` with `durable`, otherwise a failed event is reported and passed over. */
  readonly onError?: OnError;
  /** pino or pino-shaped. Default: only what somebody must know is told, by `process.emitWarning`; `false`: nothing. */
  readonly logger?: Logger | false;
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
  unknownKeys(options, [...natsOptionNames, 'watchers', 'durable', 'onError', 'logger'], 'option', issues);
  const { durable, onError } = options;
  if (durable !== undefined && !(typeof durable === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(durable))) {
    issues.push({ message: 'durable is no name for a consumer', solution: "Letters, digits, '-' and '_': 'mailer'." });
  }
  if (onError !== undefined) issues.push(...onErrorIssues(onError));
  issues.push(...loggerIssues(options.logger));
  const unfit = watchersIssues(options.watchers);
  const { entries, when, naming } = unfit.length === 0 ? options.watchers : { entries: [] };
  const checked = checkEntries(entries, when, naming);
  throwIssues([...issues, ...unfit, ...checked.issues]);
  return assemble(options, checked.watchers) as unknown as Watch<W>;
}

/** Bytes of undelivered events above which reading pauses. */
const highWaterMark = 16 * 1024 * 1024;
/** Milliseconds that `stop()` waits for running handlers. */
const stopTimeout = 10_000;

/** Puts the stages together, as createWatch() does, with JetStream in the place of PostgreSQL. */
function assemble(options: RemoteWatchOptions, watchers: readonly Watcher[]): RemoteWatch {
  const { durable, stream, logger } = options;
  const access = accessOf(options);
  const names = watchers.map(({ name }) => name);
  const reporter = new Reporter(logger, { stream, ...(durable !== undefined && { durable }) });
  const lifecycle = new Lifecycle(reporter, stream);
  const budget = new Budget(
    highWaterMark,
    () => {},
    () => source.resume(),
  );
  const inbox = new Inbox(budget, durable !== undefined, (change) => group?.attempts.settled(change));
  const letters = new DeadLetterStream({
    access,
    stream,
    group: durable ?? 'live',
    slot: () => source.slot,
    unique: (name) => subscriptions.isUnique(name),
    warn: (warning) => reporter.warn(warning),
  });
  const group =
    durable === undefined
      ? undefined
      : new Group({
          access, stream, name: durable, watchers: names, letters,
          slot: () => source.slot,
          countsAttempts: () => subscriptions.some((given) => typeof given === 'object'),
          warn: (warning) => reporter.warnOnce([warning]),
        }); // prettier-ignore
  const dispatcher = new Dispatcher(inbox, {
    // Dead letters are in a stream, which SQL does not reach.
    failed: (failure) =>
      reporter.handlerFailed(failure, failure.action === 'deadLetter' ? undefined : rowSql(failure.deliverable!)),
    stop: (error) => watch.fail(error),
    warn: (warning) => reporter.warn(warning),
    bury: (dead) => letters.write(dead),
    recovery: group?.attempts,
  });
  const router = new Router(
    watchers,
    (...found) => dispatcher.deliver(...found),
    reporter.log,
    { ledger: inbox, limit: highWaterMark }, // nobody hears of whole transactions here
    (warning) => reporter.warnOnce([warning]),
  );
  const onError = options.onError ?? (durable === undefined ? { attempts: 1, then: 'skip' } : 'retry');
  // Never asked: `transaction` is refused.
  const noDatabase = {
    slot: '', create: false, open: () => Promise.reject(stopped()), history: () => ({ systemIdentifier: '', timeline: 0 }), warn: () => {},
  }; // prettier-ignore
  const subscriptions = new Subscriptions(router, { onError }, noDatabase);
  const types = new TypeCatalog(undefined);
  const arrivals = new Arrivals(
    watchers,
    types,
    (bound) => {
      throwIssues(subscriptions.issues([bound], types));
      router.bind([bound], types);
    },
    (warnings) => reporter.warnOnce(warnings),
  );
  const source: JetStreamSource = new JetStreamSource(
    { access, stream, group, watchers: names },
    { inbox, arrivals, next: router, reporter },
    {
      streaming: (facts) => {
        supervisor.succeeded(); // a consumer is there: what ends it is looked at anew
        lifecycle.streaming(facts);
      },
      fail: (error) => watch.fail(error),
    },
  );
  const classify = (cause: unknown) => classifyNats(cause, stream);
  const supervisor = new Supervisor({
    attempt: () => source,
    classify,
    disconnected: (error, retryIn) => lifecycle.disconnected(error, retryIn),
  });
  const watch = new RemoteWatch({
    watchers, lifecycle, reporter, source, supervisor, router, dispatcher, subscriptions, classify, stopTimeout,
  }); // prettier-ignore
  return watch;
}

/** The watch of a worker that relays, in another process. */
class RemoteWatch extends WatchCore {
  readonly #parts: WatchParts;

  constructor(parts: WatchParts) {
    super(parts);
    this.#parts = parts;
  }

  override subscribe(watcher: string | readonly string[], ...rest: readonly unknown[]): Subscription {
    const options = rest.at(-1);
    if (typeof options === 'object' && options !== null && 'transaction' in options && options.transaction) {
      throwIssues([
        {
          message: `${[watcher].flat().join(', ')}: transaction: true is for createWatch(), which has the database`,
          solution: 'Deduplicate by context.eventId.',
        },
      ]);
    }
    return super.subscribe(watcher, ...rest);
  }

  on<E extends keyof WatchEventMap>(event: E, listener: (value: WatchEventMap[E]) => void): () => void {
    // Those that only the worker's watch has are never emitted, and not misspelt: code may be for any watch, as that of `sse()` is.
    checkListener(event, listener, slotWatchEvents);
    return this.#parts.reporter.emitter.on(event, listener as (value: any) => void);
  }

  /** Of the database only what the events tell is known: the primary key. */
  details(name: string): WatcherDetails {
    const { watcher, primaryKey } = this.#parts.subscriptions.route(name);
    return { ...describeWatcher(watcher, undefined, undefined, undefined), primaryKey };
  }
}
