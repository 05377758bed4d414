import { Budget } from '../changes/budget.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import { rowSql } from '../delivery/row-sql.ts';
import { type ConfigurationIssue, shown, throwIssues } from '../errors.ts';
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
  /** The worker's watchers, or some of them. */
  readonly watchers: W;
  /** The name of a group: its processes share a durable consumer, and each event goes to one of them until it is handled.
   *  Without it every process receives the events that happen while it runs. */
  readonly durable?: string;
  /** Default of all subscriptions: `'retry'` with `durable`, otherwise a failed event is reported and skipped. */
  readonly onError?: OnError;
  /** A pino logger, or one with the same methods. Default: important warnings only, by `process.emitWarning`; `false`: nothing. */
  readonly logger?: Logger | false;
}

/**
 * A watch, in any process, of the events that a worker relays to JetStream. It opens nothing before `start()`.
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
    issues.push({
      message: `durable is ${shown(durable)}, which is not a valid consumer name`,
      solution: "Use 1 to 64 letters, digits, '-' and '_': 'mailer'.",
    });
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

/** Connects the stages as createWatch() does, with JetStream instead of PostgreSQL. */
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
    // No SQL for dead letters: they are in a stream.
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
    { ledger: inbox, limit: highWaterMark }, // unused: onTransaction() does not exist here
    (warning) => reporter.warnOnce([warning]),
  );
  const onError = options.onError ?? (durable === undefined ? { attempts: 1, then: 'skip' } : 'retry');
  // Never used: `transaction` is rejected.
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
        supervisor.succeeded(); // connected: the next failure begins a new series of retries
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

/** The watch that createRemoteWatch() returns. */
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
          message: `${[watcher].flat().join(', ')}: transaction: true needs createWatch(); a remote watch has no database connection`,
          solution: 'Leave it out and deduplicate by context.eventId.',
        },
      ]);
    }
    return super.subscribe(watcher, ...rest);
  }

  on<E extends keyof WatchEventMap>(event: E, listener: (value: WatchEventMap[E]) => void): () => void {
    // Events that only the worker's watch emits are accepted too, and never emitted: code such as `sse()` works with any watch.
    checkListener(event, listener, slotWatchEvents);
    return this.#parts.reporter.emitter.on(event, listener as (value: any) => void);
  }

  /** Only the primary key is known of the table: events contain nothing else about it. */
  details(name: string): WatcherDetails {
    const { watcher, primaryKey } = this.#parts.subscriptions.route(name);
    return { ...describeWatcher(watcher, undefined, undefined, undefined), primaryKey };
  }
}
