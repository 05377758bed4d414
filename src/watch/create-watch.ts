import { ExistingRowsReader } from '../existing/existing-rows.ts';
import { annotationIgnored } from '../changes/annotations.ts';
import { Budget } from '../changes/budget.ts';
import { Ledger } from '../changes/ledger.ts';
import type { CapturedItem } from '../changes/stage.ts';
import { DeadLetterBox } from '../delivery/dead-letters.ts';
import { forgetPositions } from '../delivery/positions.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import { HandlerHook } from '../delivery/handler-hook.ts';
import { messageOf, messageWatcher } from '../delivery/message.ts';
import { Recovery } from '../delivery/recovery.ts';
import { letterSql, rowSql } from '../delivery/row-sql.ts';
import { AttemptTrace } from '../delivery/tracing.ts';
import { throwIssues, WatchError } from '../errors.ts';
import type { Logger } from '../types/logger.ts';
import { Reporter } from '../observe/reporter.ts';
import { type ResolvedOptions, resolveOptions, type WatchOptions } from '../options.ts';
import { connectOwn, handlerConfig, Session, sessionConfig } from '../postgres/session.ts';
import { type Deliver, Router } from '../routing/router.ts';
import { Subscriptions } from '../routing/subscriptions.ts';
import { classify } from '../setup/classify.ts';
import { narrow } from '../setup/apply.ts';
import { applicationName } from '../setup/judge.ts';
import { prepare } from '../setup/prepare.ts';
import { CaughtUp } from '../stream/caught-up.ts';
import { VisibilityGate } from '../stream/gate.ts';
import { RetainedWalMonitor } from '../stream/held-back.ts';
import { Inspection } from '../stream/inspection.ts';
import { Intake } from '../stream/intake.ts';
import { LagClock } from '../stream/lag.ts';
import { Positions } from '../stream/positions.ts';
import { PostgresSource } from '../stream/postgres-source.ts';
import { Supervisor } from '../stream/supervisor.ts';
import type { SlotWatch } from '../types/watch.ts';
import type { Watchers } from '../types/watchers.ts';
import { bindWarnings } from '../watchers/bind.ts';
import { conditionIssues } from '../watchers/conditions.ts';
import { Schema } from '../watchers/schema.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';
import { Lifecycle } from './lifecycle.ts';
import { SlotWatchCore } from './slot-watch.ts';

/**
 * Creates a watch that owns a replication slot. Opens no connection; `start()` does.
 *
 * @example
 * ```ts
 * const watch = createWatch({ connection: process.env.DATABASE_URL, slot: 'accounts_worker', watchers });
 * watch.subscribe('users:updated', (event) => console.log(event.id));
 * await watch.start();
 * ```
 * @throws ConfigurationError for problems that can be found without the database
 */
export function createWatch<W extends Watchers>(options: WatchOptions<W>): SlotWatch<W> {
  const resolved = resolveOptions(options);
  const { entries, when, naming } = options.watchers;
  const { watchers, issues } = checkEntries(entries, when, naming);
  throwIssues([...issues, ...conditionIssues(when, watchers)]);
  const debugged = resolved.debug ? watchers.map((watcher) => ({ ...watcher, debug: true })) : watchers;
  return assemble(resolved, debugged, options.logger) as unknown as SlotWatch<W>;
}

/** Connects the stages: source → intake → gate → router → dispatcher, and back through the ledger. */
function assemble(
  options: ResolvedOptions,
  watchers: readonly Watcher[],
  logger: Logger | false | undefined,
): SlotWatchCore {
  const { connection, connectTimeout, highWaterMark } = options;
  const slot = options.slot.name;
  const create = options.manage === 'create';
  const reporter = new Reporter(logger, { slot });
  const lifecycle = new Lifecycle(reporter, slot);
  const hook = new HandlerHook(slot);
  const positions = new Positions();
  const lag = new LagClock();
  const budget = new Budget(
    highWaterMark,
    () => {
      source.pause();
      dispatcher.sendBatches();
    },
    () => source.resume(),
  );
  const ledger = new Ledger(budget, () => {
    source.acknowledge();
    caughtUp.check();
  });
  const caughtUp = new CaughtUp(ledger);
  const openLetters = async (deadline?: number) => {
    const session = new Session(
      sessionConfig(connection, { name: `${applicationName(slot)}:letters`, connectTimeout }),
      deadline,
    );
    await connectOwn(session);
    return session;
  };
  const warn = (warning: WatchError) => reporter.warn(warning);
  const recovery = new Recovery({
    slot,
    create,
    open: openLetters,
    some: (has) => subscriptions.some(has),
    warn: (warning) => reporter.warnOnce([warning]),
  });
  const dispatcher = new Dispatcher(ledger, {
    failed: (failure) => {
      const { action, deliverable, recipient } = failure;
      const buried = action === 'deadLetter' && letterSql(slot, recipient.name, deliverable!);
      reporter.handlerFailed(failure, buried || rowSql(deliverable!));
      hook.failed(failure);
    },
    hook,
    stop: (error) => watch.fail(error),
    warn,
    recovery,
    bury: (dead) => deadLetters.write(dead),
  });
  const deliver: Deliver = (subscription, deliverable, error) => dispatcher.deliver(subscription, deliverable, error);
  const warnOnce = (warning: WatchError) => reporter.warnOnce([warning]);
  const router: Router = new Router(watchers, deliver, reporter.log, { ledger, limit: highWaterMark }, warnOnce);
  const gate = new VisibilityGate<CapturedItem>(ledger, (captured) => router.push(captured));
  const gated = options.visibility === 'committed';
  const intake: Intake = new Intake(ledger, {
    emit: (captured) => (gated ? gate.push(captured) : router.push(captured)),
    get wantsCommits() {
      return router.transactions.wanted || gate.holds; // transactions in the gate must stay complete for new subscribers
    },
    wantsMessages: (prefix) => router.messages.has(prefix),
    refusedAnnotation: (xid, reason) => warn(annotationIgnored(xid, reason)),
  });
  const history = () => ({
    systemIdentifier: source.prepared?.server.systemIdentifier ?? '',
    timeline: source.timeline ?? 0,
  });
  const existing = new ExistingRowsReader({
    options,
    ledger,
    types: () => schema.types,
    worker: () => source.worker,
    log: reporter.log,
    deliver,
    begin: (splices) => {
      router.splices = splices;
      gate.barrier = splices;
    },
    opened: () => gate.opened(),
    warn,
  });
  const subscriptions: Subscriptions = new Subscriptions(
    router,
    options,
    {
      slot,
      create,
      open: async () => {
        const session = new Session(handlerConfig(connection, `${applicationName(slot)}:handler`, connectTimeout));
        await session.connect();
        return session;
      },
      history,
      warn,
    },
    existing,
  );
  const schema: Schema = new Schema(watchers, connection.types, {
    issues: (bound) => subscriptions.issues(bound, schema.types),
    bound: (bound) => {
      router.bind(bound, schema.types);
      for (const one of bound) reporter.warnOnce(bindWarnings(one, router.routes.get(one.watcher.name)!.filteredBy));
    },
    warn: (warnings) => reporter.warnOnce(warnings),
  });
  const deadLetters = new DeadLetterBox({
    slot,
    create,
    open: openLetters,
    history,
    parse: async (client, watcher, texts, absent) =>
      watcher.startsWith(messageWatcher) ? { ...messageOf(texts) } : schema.parse(client, watcher, texts, absent),
    unique: (name) => subscriptions.isUnique(name),
    recipient: (name) => subscriptions.named(name)?.replayed(),
    warn,
  });
  const retainedWal = new RetainedWalMonitor(slot, options.retainedWalWarning, (warning) => reporter.warn(warning));
  const inspection = new Inspection(options, {
    retainedWal,
    confirmed: () => positions.confirmed,
    heldBy: () => dispatcher.heldBy,
    serverReached: (lsn) => {
      positions.serverReached(lsn);
      lag.note(lsn, Date.now(), intake.newest);
    },
    narrow: (client, { needs, server }) => narrow(client, needs, options, server),
    log: reporter.log,
    warn: (warning) => reporter.warn(warning),
    warnOnce: (warnings) => reporter.warnOnce(warnings),
    over: (warnings) => reporter.over(warnings),
  });

  let trace: AttemptTrace | undefined;
  const source: PostgresSource = new PostgresSource(
    options,
    {
      watchers,
      ledger,
      intake,
      gate: gated ? gate : undefined,
      schema,
      positions,
      caughtUp,
      inspection,
      lag,
      beside: existing,
    },
    {
      prepare: async (client, memory) => {
        const prepared = await prepare(client, options, watchers, schema.types, memory, async (bound, server) => [
          ...subscriptions.issues(bound, schema.types),
          ...(await subscriptions.positionIssues(client, server)),
          ...(await existing.issues(client, server, bound)),
        ]);
        if (!options.slot.temporary) await recovery.load(client, prepared.confirmedLsn);
        await existing.attend(client, prepared);
        schema.bind(prepared.bound, prepared.server, prepared.projected);
        reporter.warnOnce(prepared.warnings);
        return prepared;
      },
      standby: (activePid) => {
        recovery.forget();
        lifecycle.standby(activePid);
      },
      streaming: (facts) => {
        trace?.over();
        if (facts.gap) existing.gap();
        lifecycle.streaming(facts);
        supervisor.began();
      },
      forget: () => {
        gate.clear();
        ledger.forget(); // first, so that dropped events do not count as handled
        return dispatcher.discard(historyLost());
      },
      broken: () => router.transactions.forget(),
      cleanUp: async (client) => {
        // Ignore errors: the table may belong to another role.
        if (subscriptions.keepsPositions) await forgetPositions(client, slot).catch(() => {});
      },
      acknowledged: (lsn) => {
        supervisor.succeeded();
        reporter.emitter.emit('acknowledged', { lsn });
      },
      blocked: (warning) => {
        lifecycle.error = warning;
        reporter.warnOnce([warning]);
      },
      failed: (error, what) => reporter.log.warn({ err: error }, `${what} failed; walwatch tries again`),
    },
  );
  const { onLost, temporary } = options.slot;
  const classified = (cause: unknown) =>
    classify(cause, {
      slot,
      publication: options.publication.name,
      streamed: lifecycle.connects > 0,
      passwordFunction: typeof connection.password === 'function',
      inRecovery: source.prepared?.server.inRecovery,
      confirmed: positions.confirmed,
      recreates: onLost === 'recreate' && create && !temporary,
    });
  const supervisor = new Supervisor({
    attempt: () => ({
      run: () => {
        lifecycle.connecting();
        trace = new AttemptTrace(slot, lifecycle.connects, classified);
        return trace.run(() => source.run());
      },
    }),
    classify: classified,
    disconnected: (error, retryIn) => lifecycle.disconnected(error, retryIn),
  });
  const watch = new SlotWatchCore({
    options, watchers, lifecycle, reporter, source, supervisor, router, dispatcher, subscriptions,
    classify: classified, stopTimeout: options.stopTimeout, ledger, budget, intake, gate, positions, lag, caughtUp, retainedWal,
    inspection, hook, deadLetters, existing,
    release: async () => {
      deadLetters.close();
      await Promise.all([existing.store(), recovery.end()]);
    },
  }); // prettier-ignore
  return watch;
}

function historyLost(): WatchError {
  return new WatchError('CONNECTION', 'the server no longer has the history that this event comes from', {
    solution: 'No action is needed: events that the server still has are delivered again.',
  });
}
