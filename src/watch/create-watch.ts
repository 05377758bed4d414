import type { Client, ClientConfig } from 'pg';
import { handlerConfig, Session, sessionConfig } from '../postgres/session.ts';
import { Budget } from '../changes/budget.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import { Ledger } from '../changes/ledger.ts';
import { DeadLetterBox } from '../delivery/dead-letters.ts';
import type { Letter } from '../delivery/letter.ts';
import { messageOf } from '../delivery/message.ts';
import type { DeliveryOptions, Subscription } from '../types/delivery.ts';
import { throwIssues, type WatchError } from '../errors.ts';
import type { Logger } from '../observe/logger.ts';
import { Outcome, stopped } from './outcome.ts';
import { HandlerHook } from '../delivery/handler-hook.ts';
import { type Health, judgeHealth } from '../observe/health.ts';
import { LagClock } from '../stream/lag.ts';
import { type Measurements, measurements } from './measurements.ts';
import { Reporter } from '../observe/reporter.ts';
import { AttemptTrace } from '../delivery/tracing.ts';
import { RetainedWalMonitor } from '../stream/held-back.ts';
import type { SlotWatchEventMap, SlotWatchStatus, WatcherDetails, WatchState } from '../types/events.ts';
import { type Internals, internals } from './internals.ts';
import { type ResolvedOptions, resolveOptions, type WatchOptions } from '../options.ts';
import { CaughtUp } from '../stream/caught-up.ts';
import { classify } from '../setup/classify.ts';
import { Connection, type StreamSession, type StreamSink } from '../stream/connection.ts';
import { Intake } from '../stream/intake.ts';
import { dropPublication, isLivePublication } from '../setup/live-publication.ts';
import { Inspection } from '../stream/inspection.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { applicationName, narrow, prepare, type Prepared } from '../setup/prepare.ts';
import { Progress } from '../stream/progress.ts';
import { Receiver } from '../stream/receiver.ts';
import { snapshotsOf, type TakeSnapshot, untilVisible } from '../stream/snapshot.ts';
import { Supervisor } from '../stream/supervisor.ts';
import { readWalEnd } from '../stream/wal-end.ts';
import { ChangeIterator } from '../routing/change-iterator.ts';
import { VisibilityGate } from '../stream/gate.ts';
import { type Routed, Router } from '../routing/router.ts';
import type { Handler } from '../routing/subscription.ts';
import { Subscriptions } from '../routing/subscriptions.ts';
import { tap } from '../routing/tap.ts';
import type { SlotWatch } from '../types/watch.ts';
import { type BoundWatcher, bindWarnings } from '../watchers/bind.ts';
import { conditionIssues } from '../watchers/conditions.ts';
import { describeWatcher } from '../watchers/details.ts';
import { Schema } from '../watchers/schema.ts';
import type { Watchers } from '../types/watchers.ts';
import { checkEntries, type Watcher } from '../watchers/validate.ts';

/**
 * Makes a watch that owns a replication slot. Opens no connection: `start()` does.
 *
 * @example
 * ```ts
 * const watch = createWatch({ connection: process.env.DATABASE_URL, slot: 'accounts_worker', watchers });
 * watch.subscribe('users:updated', (event) => console.log(event.id));
 * await watch.start();
 * ```
 * @throws ConfigurationError for what is wrong without asking the database
 */
export function createWatch<W extends Watchers>(options: WatchOptions<W>): SlotWatch<W> {
  const resolved = resolveOptions(options);
  const { entries, when } = options.watchers;
  const { watchers, issues } = checkEntries(entries, when);
  throwIssues([...issues, ...conditionIssues(when, watchers)]);
  const loud = resolved.debug ? watchers.map((watcher) => ({ ...watcher, debug: true })) : watchers;
  return new Assembly(resolved, loud, options.logger) as unknown as SlotWatch<W>;
}

/** Milliseconds that the server has to confirm the end of the stream. */
const endTimeout = 2000;

/** Puts the stages together and owns their lifecycle. */
class Assembly {
  readonly #options: ResolvedOptions;
  readonly #watchers: readonly Watcher[];
  readonly #logged: boolean;
  readonly #reporter: Reporter;
  readonly #outcome = new Outcome();
  readonly #schema: Schema;
  readonly #budget: Budget;
  readonly #ledger: Ledger;
  readonly #caughtUp: CaughtUp;
  readonly #hook: HandlerHook;
  readonly #lag = new LagClock();
  readonly #progress = new Progress();
  readonly #inspection: Inspection;
  readonly #dispatcher: Dispatcher;
  readonly #router: Router;
  readonly #gate: VisibilityGate<Routed>;
  readonly #intake: Intake;
  readonly #subscriptions: Subscriptions;
  readonly #supervisor: Supervisor;
  readonly #retainedWal: RetainedWalMonitor;
  readonly deadLetters: DeadLetterBox;

  #state: WatchState = 'idle';
  #error: WatchError | undefined;
  /** Milliseconds since 1970; undefined while all is well. */
  #downSince: number | undefined;
  /** Of the walsender that has the slot while this watch stands by. */
  #activePid: number | undefined;
  #trace: AttemptTrace | undefined;
  #ending: Promise<void> | undefined;
  #connection: Connection | undefined;
  #connects = 0;
  /** The server's history that the received positions belong to. */
  #history: string | undefined;
  #prepared: Prepared | undefined;
  /** Of the last walsender. */
  #pid: number | undefined;
  #waitingForCatalog = false;

  constructor(options: ResolvedOptions, watchers: readonly Watcher[], logger: Logger | undefined) {
    this.#options = options;
    this.#watchers = watchers;
    this.#logged = logger !== undefined;
    const reporter = (this.#reporter = new Reporter(logger, { slot: options.slot.name }));
    const pace = () => this.#pace();
    const full = () => {
      pace();
      this.#dispatcher.hurry();
    };
    const budget = (this.#budget = new Budget(options.highWaterMark, full, pace));
    const ledger = (this.#ledger = new Ledger(budget, () => {
      this.#connection?.acknowledge(ledger.confirmed);
      caughtUp.check();
    }));
    const caughtUp = (this.#caughtUp = new CaughtUp(ledger));
    const hook = (this.#hook = new HandlerHook(options.slot.name));
    const dispatcher = (this.#dispatcher = new Dispatcher(ledger, {
      failed: (failure) => {
        reporter.handlerFailed(failure);
        hook.failed(failure);
      },
      hook,
      stop: (error) => this.#fail(error),
      bury: (dead) => this.deadLetters.write(dead),
    }));
    const router = (this.#router = new Router(
      watchers,
      (subscription, deliverable, obstacle) => dispatcher.deliver(subscription, deliverable, obstacle),
      reporter.log,
      { ledger, limit: options.highWaterMark, newest: () => this.#intake.newest },
    ));
    const gate = (this.#gate = new VisibilityGate<Routed>(ledger, (captured) => router.route(captured)));
    const gated = options.visibility === 'committed';
    this.#intake = new Intake(ledger, {
      emit: (captured) => (gated ? gate.push(captured) : router.route(captured)),
      get wantsCommits() {
        return router.transactions.wanted;
      },
      wantsMessages: (prefix) => router.messages.has(prefix),
    });
    const { name: slot } = options.slot;
    const create = options.manage === 'create';
    const { connection, connectTimeout } = options;
    this.#subscriptions = new Subscriptions(router, options, {
      slot,
      create,
      open: () => this.#openSession(handlerConfig(connection, `${applicationName(slot)}:handler`, connectTimeout)),
      systemIdentifier: () => this.#prepared?.server.systemIdentifier ?? '',
    });
    this.deadLetters = new DeadLetterBox({
      slot,
      create,
      open: () =>
        this.#openSession(sessionConfig(connection, { name: `${applicationName(slot)}:letters`, connectTimeout })),
      current: () => (this.#state === 'streaming' ? this.#connection?.session : undefined),
      parse: (client, watcher, texts, absent) => this.#parse(client, watcher, texts, absent),
      unique: (name) => this.#subscriptions.isUnique(name),
      recipient: (name) => this.#subscriptions.named(name)?.replayed(),
      warn: (warning) => reporter.warn(warning),
    });
    this.#schema = new Schema(watchers, options.connection.types, {
      issues: (bound) => this.#subscriptions.issues(bound),
      bound: (bound) => this.#bound(bound),
      warn: (warnings) => reporter.warnOnce(warnings),
    });
    this.#supervisor = new Supervisor({
      attempt: () => this.#traced(this.#attempt()),
      classify: (cause) => this.#classify(cause),
      disconnected: (error, retryIn) => this.#disconnected(error, retryIn),
    });
    const warn = (warning: WatchError) => reporter.warn(warning);
    this.#retainedWal = new RetainedWalMonitor(slot, options.retainedWalWarning, warn);
    this.#inspection = new Inspection(options, {
      retainedWal: this.#retainedWal,
      confirmed: () => this.#progress.confirmed,
      heldBy: () => dispatcher.heldBy,
      serverReached: (lsn) => {
        this.#progress.serverReached(lsn);
        this.#lag.note(lsn, Date.now(), this.#intake.newest);
      },
      narrow: (client, { needs, server }) => narrow(client, needs, options, server),
      log: reporter.log,
      warn,
      warnOnce: (warnings) => reporter.warnOnce(warnings),
      over: (warnings) => reporter.over(warnings),
    });
  }

  /** For `collectMetrics`. */
  readonly [measurements]: Measurements = {
    status: () => this.status(),
    lagSeconds: () => this.#lagSeconds(),
    retainedWal: () => this.#retainedWal.bytes,
    retainedWalLimit: () => this.#prepared?.server.maxSlotWalKeepSize,
    reconnects: () => Math.max(0, this.#connects - 1),
    observe: (observer) => this.#hook.add(observer),
  };

  // ── Subscribing ──────────────────────────────────────────────────────────────────────────────────────────────────

  subscribe(watcher: string, ...rest: readonly unknown[]): Subscription {
    if (this.#ending) throw stopped();
    const subscription = this.#subscriptions.subscribe(watcher, rest);
    const route = this.#subscriptions.route(watcher);
    this.#debug(route.watcher, `subscribing: ${subscription.name}`);
    if (route.bound && subscription.filter !== undefined)
      this.#reporter.warnOnce(bindWarnings(route.bound, route.filteredBy));
    return subscription;
  }

  onMessage(prefix: string, handler: Handler, options?: DeliveryOptions): Subscription {
    if (this.#ending) throw stopped();
    return this.#subscriptions.subscribeToMessages(prefix, handler, options);
  }

  onTransaction(handler: Handler, options?: DeliveryOptions): Subscription {
    if (this.#ending) throw stopped();
    return this.#subscriptions.subscribeToTransactions(handler, options);
  }

  unsubscribe(watcher: string, ...rest: readonly unknown[]): boolean {
    const ended = this.#subscriptions.unsubscribe(watcher, rest);
    this.#debug(this.#subscriptions.route(watcher).watcher, `unsubscribing ${ended}: ${watcher}`);
    return ended > 0;
  }

  events(watcher: string, ...rest: readonly unknown[]): ChangeIterator {
    if (this.#ending) throw stopped();
    return new ChangeIterator((handler) => this.#subscriptions.iterate(watcher, rest, handler), this.#outcome.over);
  }

  // ── Lifecycle ────────────────────────────────────────────────────────────────────────────────────────────────────

  start(): Promise<void> {
    if (this.#state === 'idle') {
      this.#state = 'connecting';
      this.#reporter.log.info({ watchers: this.#watchers.map(({ name }) => name) }, 'starting');
      for (const watcher of this.#watchers) this.#debug(watcher, `starting: ${watcher.name}`);
      this.#supervisor.run().catch((error: unknown) => this.#fail(this.#classify(error)));
    }
    return this.#outcome.started;
  }

  stop(): Promise<void> {
    return (this.#ending ??= this.#shutDown('stopping').then(() => {
      this.#state = 'stopped';
      this.#reporter.log.info({ confirmedLsn: this.#progress.confirmed }, 'stopped');
      this.#outcome.ending(stopped());
      this.#caughtUp.end(stopped());
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
      this.#outcome.failed(error, this.#logged || this.#reporter.emitter.heard('error'));
    });
    this.#reporter.failed(error);
    this.#outcome.ending(error);
    this.#caughtUp.end(error);
  }

  async #shutDown(state: 'stopping' | 'failed'): Promise<void> {
    this.#state = state;
    this.#downSince ??= Date.now();
    this.#supervisor.stop();
    this.#connection?.pause();
    this.#gate.connect(undefined);
    this.#caughtUp.disconnect();
    const handled = this.#dispatcher.close(this.#options.stopTimeout, stopped());
    this.#router.transactions.abandon(stopped()); // of one that has not come whole, no more is read
    await handled;
    this.#subscriptions.close();
    const { name } = this.#options.publication;
    const ours = isLivePublication(this.#options) && this.#prepared !== undefined;
    const cleanUp = ours ? (session: Session) => session.use((client) => dropPublication(client, name)) : undefined;
    await this.#connection
      ?.close(endTimeout, cleanUp)
      .catch((error: unknown) => this.#reporter.log.warn({ err: error }, 'closing the connection failed'));
  }

  // ── Streaming ────────────────────────────────────────────────────────────────────────────────────────────────────

  #attempt(): Connection {
    this.#state = 'connecting';
    return (this.#connection = new Connection(this.#options, {
      prepare: (session) => this.#prepare(session),
      standby: (activePid) => {
        this.#state = 'standby';
        this.#downSince = undefined;
        this.#activePid = activePid;
        if (activePid !== this.#pid) this.#forget();
        this.#reporter.standby(this.#options.slot.name, activePid);
      },
      // Who comes newly takes over. One that had the slot and lost it does not take it back, or two would fight for ever;
      // but a session of its own that the server has not given up is in nobody's service.
      mayTerminate: (activePid) => this.#connects === 0 || activePid === this.#pid,
      streaming: (session) => this.#streaming(session),
      acknowledged: (lsn) => this.#acknowledge(lsn),
      inspect: (session) => this.#inspection.run(session, this.#prepared!),
      settled: () => this.#ledger.settled && !this.#intake.inside,
    }));
  }

  #traced(connection: Connection): Pick<Connection, 'run'> {
    const trace = new AttemptTrace(this.#options.slot.name, this.#connects, (cause) => this.#classify(cause));
    this.#trace = trace;
    return { run: () => trace.run(() => connection.run()) };
  }

  /** An ordinary session besides the one that belongs to the stream. */
  async #openSession(config: ClientConfig): Promise<Session> {
    const session = new Session(config);
    await session.connect();
    return session;
  }

  async #parse(
    client: Client,
    watcher: string,
    texts: Letter['event'],
    absent: readonly string[],
  ): Promise<Record<string, unknown>> {
    return watcher.startsWith('message:')
      ? { ...messageOf(texts) }
      : this.#schema.parse(client, watcher, texts, absent);
  }

  async #prepare(session: Session): Promise<Prepared> {
    const memory = {
      acknowledged: this.#progress.acknowledged,
      publicationOid: this.#prepared?.publicationOid,
      pid: this.#pid,
      tableOids: this.#schema.tableOids,
    };
    const prepared = await session.use((client) =>
      prepare(client, this.#options, this.#watchers, this.#schema.types, memory, async (bound, server) => [
        ...this.#subscriptions.issues(bound),
        ...(await this.#subscriptions.positionIssues(client, server)),
      ]),
    );
    this.#prepared = prepared;
    this.#schema.bind(prepared.bound, prepared.server, prepared.projected);
    this.#progress.found(prepared.confirmedLsn);
    this.#reporter.warnOnce(prepared.warnings);
    return prepared;
  }

  #bound(bound: readonly BoundWatcher[]): void {
    this.#router.bind(bound, this.#schema.types);
    for (const one of bound)
      this.#reporter.warnOnce(bindWarnings(one, this.#router.routes.get(one.watcher.name)!.filteredBy));
  }

  #streaming(stream: StreamSession): StreamSink {
    const { session, prepared, createdLsn } = stream;
    const history = `${stream.systemIdentifier}/${stream.timeline}`;
    const continues = this.#history === history && createdLsn === undefined && prepared.gap === undefined;
    if (!continues) {
      // Positions of another history, or a slot that begins anew, say nothing about what was received before.
      this.#gate.clear();
      this.#router.transactions.forget();
      this.#ledger.forget();
      this.#lag.clear();
    }
    this.#intake.connect(continues);
    const restarted = createdLsn !== undefined && this.#connects > 0;
    const gap = restarted
      ? { from: this.#progress.received, to: createdLsn, reason: 'a temporary slot ends with its connection' }
      : prepared.gap;
    this.#history = history;
    this.#pid = stream.pid;
    this.#state = 'streaming';
    this.#trace?.over();
    this.#downSince = undefined;
    this.#error = undefined;
    this.#waitingForCatalog = false;
    this.#supervisor.succeeded();
    const takeSnapshot = snapshotsOf(session, prepared.server.inRecovery);
    const connection = this.#connection!;
    if (this.#options.visibility === 'committed') this.#gate.connect(takeSnapshot, (error) => connection.fail(error));
    this.#caughtUp.connect(
      {
        readEnd: () => readWalEnd(session),
        ask: () => connection.ask(),
        failed: (error) => connection.fail(error),
      },
      continues,
    );
    this.#reporter.streaming(this.#connects++, this.#progress.confirmed, gap);
    this.#outcome.streaming();
    this.#inspection.connected();
    this.#pace();
    return this.#receiver(connection, session, takeSnapshot);
  }

  #receiver(connection: Connection, session: Session, takeSnapshot: TakeSnapshot): Receiver {
    return new Receiver(this.#intake, {
      plan: (relation) => this.#schema.plan(relation),
      type: (message) => this.#schema.types.describe(message),
      described: (relation) => {
        // The catalog shows a change of the schema only once its transaction is visible.
        const { xid } = this.#intake;
        return this.#schema.described(relation, session, () => untilVisible(takeSnapshot, xid));
      },
      message: (prefix) => connection.heard(prefix),
      reached: (lsn) => {
        this.#progress.reached(lsn);
        connection.reached(lsn, this.#ledger.confirmed);
      },
      keepalive: (walEnd, replyRequested) => {
        this.#progress.serverReached(walEnd);
        connection.named(walEnd);
        if (replyRequested) connection.reply();
        this.#caughtUp.answered();
      },
      wait: (waiting) => {
        this.#waitingForCatalog = waiting;
        this.#pace();
      },
      failed: (error) => connection.fail(error),
    });
  }

  /** Reading pauses while memory is full or the catalog is asked; status updates go on. */
  #pace(): void {
    if (this.#state !== 'streaming') return;
    if (this.#budget.full || this.#waitingForCatalog) this.#connection?.pause();
    else this.#connection?.resume();
  }

  #classify(cause: unknown): WatchError {
    const { slot, publication } = this.#options;
    return classify(cause, { slot: slot.name, publication: publication.name });
  }

  /** Another worker goes on with the slot: what was received here says nothing about where that will be. */
  #forget(): void {
    this.#history = undefined;
    this.#progress.forget();
  }

  #disconnected(error: WatchError, retryIn: number): void {
    this.#state = 'disconnected';
    this.#downSince ??= Date.now();
    this.#error = error;
    this.#gate.connect(undefined);
    this.#caughtUp.disconnect();
    this.#reporter.disconnected(error, retryIn);
  }

  #acknowledge(lsn: Lsn): void {
    const confirmed = this.#progress.acknowledge(lsn);
    if (confirmed !== undefined) this.#reporter.emitter.emit('acknowledged', { lsn: confirmed });
  }

  // ── Observing ────────────────────────────────────────────────────────────────────────────────────────────────────

  on<E extends keyof SlotWatchEventMap>(event: E, listener: (value: SlotWatchEventMap[E]) => void): () => void {
    return this.#reporter.emitter.on(event, listener);
  }

  status(): SlotWatchStatus {
    const { lastEventAt, running, heldBy } = this.#dispatcher;
    return {
      state: this.#state,
      subscriptions: this.#router.subscriptions,
      running,
      lastEventAt: lastEventAt === 0 ? undefined : new Date(lastEventAt),
      error: this.#error,
      slot: this.#options.slot.name,
      publication: this.#options.publication.name,
      receivedLsn: this.#progress.received,
      confirmedLsn: this.#progress.confirmed,
      lagBytes: this.#progress.lag,
      undeliveredBytes: this.#budget.bytes,
      waitingForVisibility: this.#gate.waiting,
      heldBy,
    };
  }

  async caughtUp({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#ending) throw this.#state === 'failed' ? this.#error! : stopped();
    await this.#caughtUp.wait(signal);
  }

  health(): Health {
    return judgeHealth({
      status: this.status(),
      now: Date.now(),
      downSince: this.#downSince,
      activePid: this.#activePid,
      full: this.#budget.full,
      found: this.#inspection.found,
    });
  }

  details(watcher: string): WatcherDetails {
    const { watcher: described, bound } = this.#subscriptions.route(watcher);
    const { slot, publication } = this.#options;
    const { columnLists } = publication;
    const pushedDown = bound && this.#prepared?.needs.pushedDown.get(bound.table.oid);
    const inUse = columnLists || pushedDown?.where !== undefined ? pushedDown : undefined;
    return describeWatcher(described, bound, slot.name, publication.name, inUse);
  }

  /** For other entry points of the package: `walwatch/nats`. */
  get [internals](): Internals {
    const { slot, manage } = this.#options;
    return {
      slot: slot.name,
      create: manage === 'create',
      systemIdentifier: () => this.#prepared?.server.systemIdentifier ?? '',
      over: this.#outcome.over,
      tap: (recipient) => {
        if (this.#ending) throw stopped();
        return tap(this.#router, recipient);
      },
      failed: (failure) => this.#reporter.handlerFailed(failure),
      warn: (warning) => this.#reporter.warn(warning),
    };
  }

  /** Undefined where nothing can be said, because nothing is read yet or another worker does it. */
  #lagSeconds(): number | undefined {
    if (this.#state === 'idle' || this.#state === 'standby') return undefined;
    const { handled, oldest } = this.#ledger;
    const { newest } = this.#intake;
    return this.#lag.seconds({ now: Date.now(), handled, oldest, newest, downSince: this.#downSince });
  }

  #debug({ debug, name, type, table, extraColumns, triggerColumns }: Watcher, message: string): void {
    if (!debug) return;
    const fields = { watcher: name, type, schema: table.schema, table: table.name, extraColumns, triggerColumns };
    this.#reporter.log.debug(fields, message);
  }
}
