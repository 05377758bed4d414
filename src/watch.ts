import { readTables } from './catalog/tables.ts';
import type { Session } from './catalog/session.ts';
import { quoteTable } from './catalog/server.ts';
import { TypeCatalog } from './catalog/types.ts';
import { Budget } from './delivery/budget.ts';
import { Dispatcher } from './delivery/dispatcher.ts';
import type { Failure } from './delivery/lane.ts';
import { Ledger } from './delivery/ledger.ts';
import type { Subscription } from './delivery/types.ts';
import { type ConfigurationIssue, ConfigurationError, throwIssues, WatchError } from './errors.ts';
import { Emitter } from './observe/emitter.ts';
import { bindLogger, type Logger } from './observe/logger.ts';
import { ObservedPromise } from './observe/observed-promise.ts';
import { readRetainedWal, walRetained, warningThreshold } from './observe/retained-wal.ts';
import type { SlotWatchEventMap, SlotWatchStatus, WatcherDetails, WatchState } from './observe/types.ts';
import { type ResolvedOptions, resolveOptions, type WatchOptions } from './options.ts';
import type { Relation } from './pgoutput/messages.ts';
import { classify } from './replication/classify.ts';
import { Connection, type StreamSession, type StreamSink } from './replication/connection.ts';
import { Intake } from './replication/intake.ts';
import { dropPublication, isLivePublication } from './replication/live-publication.ts';
import { formatLsn, type Lsn, parseLsn } from './replication/lsn.ts';
import { narrow, prepare, type Prepared } from './replication/prepare.ts';
import { Receiver } from './replication/receiver.ts';
import { Supervisor } from './replication/supervisor.ts';
import { parseSnapshot } from './replication/visibility.ts';
import { ChangeIterator } from './routing/change-iterator.ts';
import { VisibilityGate } from './routing/gate.ts';
import { Router } from './routing/router.ts';
import { Subscriptions } from './routing/subscriptions.ts';
import type { SlotWatch } from './watch-interface.ts';
import { type BoundWatcher, bindWarnings, bindWatchers } from './watchers/bind.ts';
import { describeWatcher } from './watchers/details.ts';
import { planRelation } from './watchers/plan.ts';
import { identityWarnings, isUnknown, watchersOf } from './watchers/schema.ts';
import type { Watchers } from './watchers/types.ts';
import { checkEntries, type Watcher } from './watchers/validate.ts';

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
  const { watchers, issues } = checkEntries(options.watchers.entries);
  throwIssues(issues);
  const loud = resolved.debug ? watchers.map((watcher) => ({ ...watcher, debug: true })) : watchers;
  return new Assembly(resolved, loud, options.logger) as unknown as SlotWatch<W>;
}

/** Milliseconds that the server has to confirm the end of the stream. */
const endTimeout = 2000;

/** Puts the stages together and owns their lifecycle. */
class Assembly {
  readonly #options: ResolvedOptions;
  readonly #watchers: readonly Watcher[];
  readonly #log: Logger;
  readonly #logged: boolean;
  readonly #emitter: Emitter;
  readonly #types: TypeCatalog;
  readonly #budget: Budget;
  readonly #ledger: Ledger;
  readonly #dispatcher: Dispatcher;
  readonly #router: Router;
  readonly #gate: VisibilityGate;
  readonly #intake: Intake;
  readonly #subscriptions: Subscriptions;
  readonly #supervisor: Supervisor;

  #state: WatchState = 'idle';
  #error: WatchError | undefined;
  #connection: Connection | undefined;
  #connects = 0;
  /** The history that the received positions belong to. */
  #history: string | undefined;
  #prepared: Prepared | undefined;
  #bound: readonly BoundWatcher[] = [];
  #tableOids: ReadonlyMap<string, number> = new Map();
  #acknowledged: Lsn | undefined;
  #confirmedLsn: string | undefined;
  #receivedLsn: Lsn = 0n;
  #serverLsn: Lsn = 0n;
  #waitingForCatalog = false;
  #activePid: number | undefined;
  #warned = new Set<string>();
  #retainedWarned = false;

  #started: ObservedPromise<void> | undefined;
  #resolveStart: (() => void) | undefined;
  #rejectStart: ((error: unknown) => void) | undefined;
  #stopping: Promise<void> | undefined;
  readonly #over: Promise<void>;
  readonly #closed: ObservedPromise<void>;
  #resolveClosed!: () => void;
  #rejectClosed!: (error: unknown) => void;

  constructor(options: ResolvedOptions, watchers: readonly Watcher[], logger: Logger | undefined) {
    this.#options = options;
    this.#watchers = watchers;
    this.#logged = logger !== undefined;
    this.#log = bindLogger(logger, { slot: options.slot.name });
    this.#emitter = new Emitter(this.#log);
    this.#types = new TypeCatalog(options.connection.types);
    this.#budget = new Budget(options.highWaterMark, () => this.#pace(), () => this.#pace());
    this.#ledger = new Ledger(this.#budget, () => this.#connection?.acknowledge(this.#ledger.confirmed));
    this.#dispatcher = new Dispatcher(this.#ledger, { failed: (failure) => this.#handlerFailed(failure), stop: (error) => this.#fail(error) });
    this.#router = new Router(watchers, (subscription, occurrence, obstacle) => this.#dispatcher.deliver(subscription, occurrence, obstacle), this.#log);
    this.#gate = new VisibilityGate(this.#ledger, (change) => this.#router.route(change));
    this.#intake = new Intake(
      this.#ledger,
      options.visibility === 'committed' ? (change) => this.#gate.push(change) : (change) => this.#router.route(change),
    );
    this.#subscriptions = new Subscriptions(this.#router, options);
    this.#supervisor = new Supervisor({
      attempt: () => this.#attempt(),
      disconnected: (error, retryIn) => this.#disconnected(error, retryIn),
    });
    this.#over = new Promise((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    this.#closed = ObservedPromise.of(this.#over);
  }

  // ── Subscribing ──────────────────────────────────────────────────────────────────────────────────────────────────

  subscribe(watcher: string, ...rest: readonly unknown[]): Subscription {
    this.#refuseWhenStopped();
    const subscription = this.#subscriptions.subscribe(watcher, rest);
    const route = this.#subscriptions.route(watcher);
    if (route.watcher.debug) this.#log.debug({ watcher, subscription: subscription.name }, `subscribing: ${subscription.name}`);
    if (route.bound && subscription.filter !== undefined) this.#warnOnce(bindWarnings(route.bound, route.filteredBy));
    return subscription;
  }

  unsubscribe(watcher: string, ...rest: readonly unknown[]): boolean {
    const ended = this.#subscriptions.unsubscribe(watcher, rest);
    if (this.#subscriptions.route(watcher).watcher.debug) this.#log.debug({ watcher, ended }, `unsubscribing: ${watcher}`);
    return ended > 0;
  }

  events(watcher: string, ...rest: readonly unknown[]): ChangeIterator {
    this.#refuseWhenStopped();
    // (watcher, options?) or (watcher, filter, options?): only options have a signal that is an AbortSignal.
    const onlyOptions = rest.length === 1 && (rest[0] === undefined || (rest[0] as { signal?: unknown } | null)?.signal instanceof AbortSignal);
    const filter = rest.length === 0 || onlyOptions ? [] : [rest[0]];
    const options = onlyOptions ? rest[0] : rest[1];
    return new ChangeIterator((handler) => this.#subscriptions.subscribe(watcher, [...filter, handler, ...(options === undefined ? [] : [options])]), this.#over);
  }

  // ── Lifecycle ────────────────────────────────────────────────────────────────────────────────────────────────────

  start(): Promise<void> {
    return (this.#started ??= ObservedPromise.of(
      new Promise<void>((resolve, reject) => {
        if (this.#state !== 'idle') {
          reject(stopped());
          return;
        }
        this.#resolveStart = resolve;
        this.#rejectStart = reject;
        this.#state = 'connecting';
        this.#log.info({ watchers: this.#watchers.map(({ name }) => name) }, 'starting');
        for (const { name, debug, ...watcher } of this.#watchers) if (debug) this.#log.debug({ watcher: name, table: `${watcher.table.schema}.${watcher.table.name}`, extraColumns: watcher.extraColumns, triggerColumns: watcher.triggerColumns }, `starting: ${name}`);
        this.#supervisor.run().catch((error: unknown) => this.#fail(classify(error)));
      }),
    ));
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#shutDown('stopping').then(() => {
      this.#state = 'stopped';
      this.#log.info({ confirmedLsn: this.#confirmedLsn }, 'stopped');
      this.#rejectStart?.(stopped());
      this.#resolveClosed();
    }));
  }

  get closed(): Promise<void> {
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #fail(error: WatchError): void {
    if (this.#stopping) return;
    this.#error = error;
    this.#log.error({ err: error, code: error.code, solution: error.solution }, error.message);
    this.#stopping = this.#shutDown('failed').then(() => {
      this.#rejectClosed(error);
      // Later than whoever reacts to the rejection by looking at it.
      setImmediate(() => {
        const known = this.#logged || this.#closed.observed || this.#started?.observed || this.#emitter.heard('error');
        if (!known) process.emitWarning(`walwatch has ended: ${error.message}`, { code: error.code, ...(error.solution !== undefined && { detail: error.solution }) });
      });
    });
    this.#emitter.emit('error', error);
    this.#rejectStart?.(error);
  }

  async #shutDown(state: 'stopping' | 'failed'): Promise<void> {
    this.#state = state;
    this.#supervisor.stop();
    this.#connection?.pause();
    this.#gate.connect(undefined);
    const idle = this.#dispatcher.close();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#dispatcher.abort(stopped());
        setImmediate(resolve); // those that heed the signal settle first
      }, this.#options.stopTimeout);
    });
    await Promise.race([idle, patience]);
    clearTimeout(timer);
    const cleanUp = isLivePublication(this.#options) && this.#prepared ? (session: Session) => session.use((client) => dropPublication(client, this.#options.publication.name)) : undefined;
    await this.#connection?.close(endTimeout, cleanUp).catch((error: unknown) => this.#log.warn({ err: error }, 'closing failed'));
  }

  #refuseWhenStopped(): void {
    if (this.#stopping) throw stopped();
  }

  // ── Streaming ────────────────────────────────────────────────────────────────────────────────────────────────────

  #attempt(): Connection {
    this.#state = 'connecting';
    this.#activePid = undefined;
    return (this.#connection = new Connection(this.#options, {
      prepare: (session) => this.#prepare(session),
      standby: (activePid) => this.#standby(activePid),
      streaming: (session) => this.#streaming(session),
      acknowledged: (lsn) => this.#acknowledge(lsn),
      inspect: (session) => this.#inspect(session),
      settled: () => this.#ledger.settled && !this.#intake.inside,
    }));
  }

  async #prepare(session: Session): Promise<Prepared> {
    const memory = {
      acknowledged: this.#acknowledged === undefined ? undefined : formatLsn(this.#acknowledged),
      publicationOid: this.#prepared?.publicationOid,
      tableOids: this.#tableOids,
    };
    const prepared = await session.use((client) =>
      prepare(client, this.#options, this.#watchers, this.#types, memory, (bound) => this.#subscriptionIssues(bound)),
    );
    this.#prepared = prepared;
    this.#bind(prepared.bound);
    this.#confirmedLsn ??= prepared.confirmedLsn;
    this.#warnOnce(prepared.warnings);
    return prepared;
  }

  #bind(bound: readonly BoundWatcher[]): void {
    this.#bound = bound;
    this.#tableOids = new Map(bound.map(({ table }) => [quoteTable(table), table.oid]));
    this.#router.bind(bound, this.#types);
    for (const one of bound) this.#warnOnce(bindWarnings(one, this.#router.routes.get(one.watcher.name)!.filteredBy));
  }

  #subscriptionIssues(bound: readonly BoundWatcher[]): ConfigurationIssue[] {
    return this.#subscriptions.issues((route) => bound.find(({ watcher }) => watcher === route.watcher)?.primaryKey);
  }

  #standby(activePid: number): void {
    this.#state = 'standby';
    if (this.#activePid === activePid) return;
    this.#activePid = activePid;
    this.#log.info({ activePid }, 'standing by: another worker has the slot');
    this.#emitter.emit('standby', { activePid });
    this.#warnOnce([
      new WatchError('SLOT_ACTIVE', `the slot '${this.#options.slot.name}' is active for process ${activePid} of the server: this worker waits as its standby`, {
        solution: 'Nothing, if that is another worker of yours. Else look it up: SELECT * FROM pg_stat_activity WHERE pid = …;',
      }),
    ]);
  }

  #streaming({ session, prepared, systemIdentifier, timeline, createdLsn }: StreamSession): StreamSink {
    const connection = this.#connection!;
    const history = `${systemIdentifier}/${timeline}`;
    const continues = this.#history === history && createdLsn === undefined && prepared.gap === undefined;
    if (!continues) {
      // Positions of another history, or a slot that begins anew, say nothing about what was received before.
      this.#gate.clear();
      this.#ledger.forget();
    }
    this.#intake.connect(continues);
    const gap = prepared.gap ?? (createdLsn !== undefined && this.#connects > 0 ? { from: this.#position(), to: createdLsn, reason: 'a temporary slot ends with its connection' } : undefined);
    this.#history = history;
    this.#state = 'streaming';
    this.#error = undefined;
    this.#waitingForCatalog = false;
    this.#supervisor.succeeded();
    if (this.#options.visibility === 'committed') {
      const { inRecovery } = prepared.server;
      this.#gate.connect(async () => {
        const { rows } = await session.use((client) => client.query<{ snapshot: string }>('select pg_catalog.pg_current_snapshot()::text as snapshot'));
        return parseSnapshot(rows[0]!.snapshot, inRecovery);
      });
    }
    if (gap) {
      this.#log.warn(gap, 'changes were not seen');
      this.#emitter.emit('gap', gap);
    }
    const reconnects = this.#connects++;
    this.#log.info({ reconnects, confirmedLsn: this.#confirmedLsn }, 'streaming');
    this.#emitter.emit('connected', { reconnects });
    this.#resolveStart?.();
    session
      .use((client) => narrow(client, prepared.needs, this.#options, prepared.server))
      .then(
        (statements) => statements.length > 0 && this.#log.info({ statements }, 'the publication carried more than is needed'),
        (error: unknown) => this.#log.warn({ err: error }, 'the publication still carries more than is needed'),
      );
    this.#pace();
    return this.#receiver(connection, session);
  }

  #receiver(connection: Connection, session: Session): Receiver {
    return new Receiver(this.#intake, {
      plan: (relation) => planRelation(relation, watchersOf(relation, this.#bound), this.#types),
      described: (relation) => this.#described(relation, session),
      reached: (lsn) => {
        if (lsn > this.#receivedLsn) this.#receivedLsn = lsn;
        connection.reached(lsn, this.#ledger.confirmed);
      },
      keepalive: (walEnd, replyRequested) => {
        if (walEnd > this.#serverLsn) this.#serverLsn = walEnd;
        connection.named(walEnd);
        if (replyRequested) connection.reply();
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

  #described(relation: Relation, session: Session): Promise<void> | undefined {
    const watchers = watchersOf(relation, this.#bound);
    if (watchers.length === 0) return undefined;
    this.#warnOnce(identityWarnings(relation, watchers));
    return isUnknown(relation, watchers, this.#types) ? this.#refresh(relation, session) : undefined;
  }

  /** Asks the catalog again, because a table is not as it was. */
  async #refresh(relation: Relation, session: Session): Promise<void> {
    await session.use(async (client) => {
      await this.#types.resolve(client, relation.columns.map((column) => column.typeOid));
      const tables = await readTables(client, this.#watchers.map(({ table }) => table));
      const { bound, issues } = bindWatchers(this.#watchers, tables, this.#prepared!.server);
      const misfits = [...issues, ...this.#subscriptionIssues(bound)];
      if (misfits.length > 0) {
        const cause = new ConfigurationError(misfits);
        throw new WatchError('SCHEMA_CHANGED', `${relation.schema}.${relation.name} was changed, and does not fit the watchers any more: ${cause.message}`, {
          solution: 'Deploy watchers that fit the new schema. What was written since was not acknowledged and comes again.',
          cause,
        });
      }
      await this.#types.resolve(client, tables.flatMap((table) => table.columns.map((column) => column.typeOid)));
      this.#bind(bound);
    });
  }

  #disconnected(error: WatchError, retryIn: number): void {
    this.#state = 'disconnected';
    this.#error = error;
    this.#gate.connect(undefined);
    this.#log.warn({ err: error, code: error.code, retryIn }, `disconnected: ${error.message}`);
    this.#emitter.emit('disconnected', { error, retryIn });
  }

  #acknowledge(lsn: Lsn): void {
    this.#acknowledged = lsn;
    const text = formatLsn(lsn);
    if (text === this.#confirmedLsn) return;
    this.#confirmedLsn = text;
    this.#emitter.emit('acknowledged', { lsn: text });
  }

  // ── Observing ────────────────────────────────────────────────────────────────────────────────────────────────────

  on<E extends keyof SlotWatchEventMap>(event: E, listener: (value: SlotWatchEventMap[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  status(): SlotWatchStatus {
    const server = this.#serverLsn > this.#receivedLsn ? this.#serverLsn : this.#receivedLsn;
    return {
      state: this.#state,
      subscriptions: this.#router.subscriptions,
      running: this.#dispatcher.running,
      lastEventAt: this.#dispatcher.lastEventAt === 0 ? undefined : new Date(this.#dispatcher.lastEventAt),
      error: this.#error,
      slot: this.#options.slot.name,
      publication: this.#options.publication.name,
      receivedLsn: this.#position(),
      confirmedLsn: this.#confirmedLsn,
      lagBytes: this.#confirmedLsn === undefined || server === 0n ? undefined : Math.max(0, Number(server - parseLsn(this.#confirmedLsn))),
      undeliveredBytes: this.#budget.bytes,
      waitingForVisibility: this.#gate.waiting,
      heldBy: this.#dispatcher.heldBy,
    };
  }

  details(watcher: string): WatcherDetails {
    const { watcher: described, bound } = this.#subscriptions.route(watcher);
    const { slot, publication } = this.#options;
    return describeWatcher(described, bound, slot.name, publication.name);
  }

  async #inspect(session: Session): Promise<void> {
    const { slot, retainedWalWarning } = this.#options;
    const retained = await session.use((client) => readRetainedWal(client, slot.name));
    if (!retained) return;
    const current = parseLsn(retained.currentLsn);
    if (current > this.#serverLsn) this.#serverLsn = current;
    const threshold = warningThreshold(retainedWalWarning, this.#prepared?.server.maxSlotWalKeepSize);
    const exceeded = threshold !== undefined && retained.bytes > threshold;
    if (exceeded && !this.#retainedWarned) this.#warn(walRetained(slot.name, retained.bytes, threshold, this.#dispatcher.heldBy?.subscription));
    this.#retainedWarned = exceeded;
  }

  #position(): string | undefined {
    return this.#receivedLsn === 0n ? undefined : formatLsn(this.#receivedLsn);
  }

  #handlerFailed({ recipient, ...failure }: Failure): void {
    const told = { subscription: recipient.name, ...failure };
    const { error, ...fields } = told;
    this.#log.warn({ ...fields, err: error }, `handler failed: ${told.subscription}, attempt ${told.attempt}: ${told.action}`);
    this.#emitter.emit('handlerFailed', told);
  }

  #warn(warning: WatchError): void {
    this.#log.warn({ code: warning.code, solution: warning.solution }, warning.message);
    this.#emitter.emit('warning', warning);
  }

  /** What is found anew at each connection is told once. */
  #warnOnce(warnings: Iterable<WatchError>): void {
    for (const warning of warnings) {
      if (this.#warned.has(warning.message)) continue;
      this.#warned.add(warning.message);
      this.#warn(warning);
    }
  }
}

function stopped(): WatchError {
  return new WatchError('STOPPED', 'the watch has been stopped', { solution: 'A watch does not start again: make a new one with createWatch().' });
}
