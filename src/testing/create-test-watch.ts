import { Budget } from '../changes/budget.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import { HandlerHook } from '../delivery/handler-hook.ts';
import type { Failure } from '../delivery/recipient.ts';
import { rowSql } from '../delivery/row-sql.ts';
import { type ConfigurationIssue, throwIssues, WatchError } from '../errors.ts';
import { Reporter } from '../observe/reporter.ts';
import { unknownKeys } from '../option-names.ts';
import { loggerIssues, onErrorIssues, watchersIssues } from '../options.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { type Deliver, Router } from '../routing/router.ts';
import { Supervisor } from '../stream/supervisor.ts';
import type { OnError } from '../types/delivery.ts';
import type { TestWatch, TestWatchOptions } from '../types/testing.ts';
import type { Watchers } from '../types/watchers.ts';
import { Lifecycle } from '../watch/lifecycle.ts';
import { conditionIssues } from '../watchers/conditions.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';
import { TestDeadLetters } from './dead-letters.ts';
import { TestExistingRows } from './existing-rows.ts';
import { TestLedger } from './sending.ts';
import { TestSource } from './test-source.ts';
import { TestSubscriptions } from './test-subscriptions.ts';
import { TestWatchCore } from './test-watch.ts';

/**
 * Creates a watch without a database, whose changes a test delivers. They pass through the same code as changes from a database:
 * filters, `when`, order, batches, row streams and `onError` work as in production.
 *
 * @example
 * ```ts
 * const watch = createTestWatch(watchers);
 * watch.subscribe('users:updated', handler); // or pass the watch to your code
 * await watch.deliver('users:updated', { id: 1, role_id: 2 }, { previous: { role_id: 1 } });
 * ```
 * @throws ConfigurationError with every problem at once
 */
export function createTestWatch<W extends Watchers>(watchers: W, options: TestWatchOptions = {}): TestWatch<W> {
  const issues: ConfigurationIssue[] = [];
  unknownKeys(options, ['onError', 'logger', 'client'], 'option', issues);
  if (options.onError !== undefined) issues.push(...onErrorIssues(options.onError));
  issues.push(...loggerIssues(options.logger));
  const unfit = watchersIssues(watchers);
  const { entries, when, naming } = unfit.length === 0 ? watchers : { entries: [] };
  const checked = checkEntries(entries, when, naming);
  throwIssues([...issues, ...unfit, ...checked.issues, ...conditionIssues(when, checked.watchers)]);
  return assemble(checked.watchers, options) as unknown as TestWatch<W>;
}

/** The slot and publication that `status()` names. */
const name = 'test';
/** Milliseconds that `stop()` waits for running handlers. */
const stopTimeout = 10_000;
const noRetry: OnError = { attempts: 1, then: 'skip' };

/** Connects the stages as createWatch() does, with deliveries of the test instead of PostgreSQL. */
function assemble(
  watchers: readonly Watcher[],
  { onError = noRetry, logger, client }: TestWatchOptions,
): TestWatchCore {
  const reporter = new Reporter(logger, { slot: name });
  const lifecycle = new Lifecycle(reporter, name);
  const hook = new HandlerHook(name);
  const budget = new Budget(Infinity, () => {}, () => {}); // prettier-ignore
  const ledger = new TestLedger(
    budget,
    () => reporter.emitter.emit('acknowledged', { lsn: formatLsn(ledger.confirmed!) }),
    (transaction) => source.settled(transaction),
  );
  const warn = (warning: WatchError) => reporter.warn(warning);
  const dispatcher = new Dispatcher(ledger, {
    failed: (failure) => {
      const isFinal = failure.action !== 'retry' || failure.retryIn === undefined;
      report(reporter, failure, isFinal);
      hook.failed(failure);
      if (isFinal) source.failed(failure);
    },
    hook,
    stop: (error) => watch.fail(error),
    warn,
    bury: (dead) => deadLetters.write(dead),
  });
  const deliver: Deliver = (...found) => dispatcher.deliver(...found);
  const router: Router = new Router(watchers, deliver, reporter.log, { ledger, limit: Infinity }, warn);
  const existing = new TestExistingRows({ deliver, warn });
  const subscriptions = new TestSubscriptions(router, onError, existing, client);
  const deadLetters = new TestDeadLetters((subscription) => subscriptions.named(subscription)?.replayed());
  const source: TestSource = new TestSource({
    ledger,
    next: router,
    wantsCommits: () => router.transactions.wanted,
    sendBatches: () => dispatcher.sendBatches(),
    streaming: (facts) => {
      lifecycle.streaming(facts);
      existing.streaming();
    },
    handled: () => queueMicrotask(() => existing.rest()), // the ledger settles before the row does
  });
  const classify = (cause: unknown) =>
    cause instanceof WatchError ? cause : new WatchError('PROTOCOL', String(cause), { cause });
  const supervisor = new Supervisor({
    attempt: () => source,
    classify,
    disconnected: (error, retryIn) => lifecycle.disconnected(error, retryIn),
  });
  const watch: TestWatchCore = new TestWatchCore({
    watchers, lifecycle, reporter, source, supervisor, router, dispatcher, subscriptions, classify, stopTimeout,
    options: { slot: { name, temporary: false, takeover: 'wait', onLost: 'stop', failover: false }, publication: { name, columnLists: false }, manage: 'verify' },
    ledger, budget, hook, deadLetters, existing,
    intake: { receiving: undefined, newest: undefined },
    gate: { waiting: false, waitingSince: undefined },
    positions: {
      get received() { return source.received; },
      get confirmed() { return ledger.confirmed === undefined ? undefined : formatLsn(ledger.confirmed); },
      lag: 0,
    },
    lag: { silentSince: undefined, seconds: () => 0 },
    caughtUp: { wait: (signal) => source.wait(signal), end: (reason) => source.over(reason) },
    retainedWal: { bytes: undefined },
    inspection: { found: [] },
  }); // prettier-ignore
  return watch;
}

/** `isFinal`: deliver() rejects with the error, so a process warning would only repeat it. */
function report(reporter: Reporter, failure: Failure, isFinal: boolean): void {
  const listening = isFinal ? reporter.emitter.on('handlerFailed', () => {}) : () => {};
  reporter.handlerFailed(failure, rowSql(failure.deliverable!));
  listening();
}
