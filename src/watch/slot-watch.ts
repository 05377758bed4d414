import type { Budget } from '../changes/budget.ts';
import type { Ledger } from '../changes/ledger.ts';
import type { ChangeSource } from '../changes/stage.ts';
import type { HandlerHook } from '../delivery/handler-hook.ts';
import type { ExistingRowsReader } from '../existing/existing-rows.ts';
import { type Health, judgeHealth } from '../observe/health.ts';
import { refuseUnknownKeys } from '../option-names.ts';
import type { ResolvedOptions } from '../options.ts';
import type { ExistingReader } from '../routing/existing-reader.ts';
import type { Handler } from '../routing/subscription.ts';
import { checkListener, slotWatchEvents } from '../observe/emitter.ts';
import { tap } from '../routing/tap.ts';
import type { CaughtUp } from '../stream/caught-up.ts';
import type { VisibilityGate } from '../stream/gate.ts';
import type { RetainedWalMonitor } from '../stream/held-back.ts';
import type { Inspection } from '../stream/inspection.ts';
import type { Intake } from '../stream/intake.ts';
import type { LagClock } from '../stream/lag.ts';
import type { Positions } from '../stream/positions.ts';
import type { PostgresSource } from '../stream/postgres-source.ts';
import type { DeadLetters, DeliveryOptions, Subscription } from '../types/delivery.ts';
import type { MessageOptions } from '../types/messages.ts';
import type { MessageDescriptor } from '../types/outbox.ts';
import type { SlotWatchEventMap, SlotWatchStatus, WatcherDetails } from '../types/events.ts';
import { bindWarnings } from '../watchers/bind.ts';
import { describeWatcher } from '../watchers/details.ts';
import { WatchCore, type WatchParts } from './core.ts';
import { EventHandlerContext } from '../delivery/occurrence.ts';
import { type Internals, internals, internalsVersion } from '../observe/internals.ts';
import { stopped } from './outcome.ts';
import { expectNoStart } from './unstarted.ts';

export interface SlotWatchParts extends WatchParts {
  readonly options: Pick<ResolvedOptions, 'slot' | 'publication' | 'manage'>;
  readonly source: ChangeSource & { readonly prepared: PostgresSource['prepared'] };
  readonly ledger: Pick<Ledger, 'handled' | 'oldest'>;
  readonly budget: Pick<Budget, 'bytes' | 'full'>;
  readonly intake: Pick<Intake, 'receiving' | 'newest'>;
  readonly gate: Pick<VisibilityGate<any>, 'waiting' | 'waitingSince'>;
  readonly positions: Pick<Positions, 'received' | 'confirmed' | 'lag'>;
  readonly lag: Pick<LagClock, 'silentSince' | 'seconds'>;
  readonly caughtUp: Pick<CaughtUp, 'wait' | 'end'>;
  readonly retainedWal: Pick<RetainedWalMonitor, 'bytes'>;
  readonly inspection: Pick<Inspection, 'found'>;
  readonly hook: HandlerHook;
  readonly deadLetters: DeadLetters;
  readonly existing: ExistingReader & Pick<ExistingRowsReader, 'status' | 'end'>;
}

/** The watch that owns a replication slot. */
export class SlotWatchCore extends WatchCore {
  readonly #parts: SlotWatchParts;

  constructor(parts: SlotWatchParts) {
    super(parts);
    this.#parts = parts;
  }

  /** Also works on a watch that is never started. */
  get deadLetters(): DeadLetters {
    const { reporter, deadLetters } = this.#parts;
    expectNoStart(reporter);
    return deadLetters;
  }

  override subscribe(watcher: string | readonly string[], ...rest: readonly unknown[]): Subscription {
    const { router, reporter } = this.#parts;
    const routes = [watcher].flat().map((name) => router.routes.get(name));
    const before = routes.map((route) => route?.filteredBy);
    const subscription = super.subscribe(watcher, ...rest);
    for (const [index, route] of routes.entries()) {
      if (route?.bound && route.filteredBy !== before[index])
        reporter.warnOnce(bindWarnings(route.bound, route.filteredBy));
    }
    return subscription;
  }

  onMessage(message: string | MessageDescriptor, handler: Handler, options?: MessageOptions): Subscription {
    this.refuseWhenOver();
    return this.#parts.subscriptions.subscribeToMessages(message, handler, options);
  }

  onTransaction(handler: Handler, options?: DeliveryOptions): Subscription {
    this.refuseWhenOver();
    return this.#parts.subscriptions.subscribeToTransactions(handler, options);
  }

  async caughtUp(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    refuseUnknownKeys(options, ['signal'], 'option of caughtUp()');
    const { lifecycle, caughtUp } = this.#parts;
    if (lifecycle.over) throw lifecycle.state === 'failed' ? lifecycle.error! : stopped();
    await caughtUp.wait(options.signal);
  }

  on<E extends keyof SlotWatchEventMap>(event: E, listener: (value: SlotWatchEventMap[E]) => void): () => void {
    checkListener(event, listener, slotWatchEvents);
    return this.#parts.reporter.emitter.on(event, listener);
  }

  override status(): SlotWatchStatus {
    const { options, positions, lag, budget, gate, dispatcher, intake } = this.#parts;
    const status = super.status();
    const { silentSince } = lag;
    const answering = status.state === 'streaming' && silentSince === undefined;
    return {
      ...status,
      slot: options.slot.name,
      publication: options.publication.name,
      receivedLsn: positions.received,
      confirmedLsn: positions.confirmed,
      lagBytes: answering ? positions.lag : undefined,
      silentSince: silentSince === undefined ? undefined : new Date(silentSince),
      undeliveredBytes: budget.bytes,
      receiving: status.state === 'streaming' ? intake.receiving : undefined, // after a disconnect the server sends it again from the start, if at all
      waitingForVisibility: gate.waiting,
      heldBy: dispatcher.heldBy,
      existing: this.#parts.existing.status,
    };
  }

  health(): Health {
    const { lifecycle, budget, gate, inspection } = this.#parts;
    return judgeHealth({
      status: this.status(),
      now: Date.now(),
      downSince: lifecycle.downSince,
      activePid: lifecycle.activePid,
      full: budget.full,
      waitingSince: gate.waitingSince,
      found: inspection.found,
    });
  }

  details(watcher: string): WatcherDetails {
    const { subscriptions, options, source } = this.#parts;
    const { watcher: described, bound } = subscriptions.route(watcher);
    const { slot, publication } = options;
    const pushedDown = bound && source.prepared?.needs.pushedDown.get(bound.table.oid);
    const inUse = publication.columnLists || pushedDown?.where !== undefined ? pushedDown : undefined;
    return describeWatcher(described, bound, slot.name, publication.name, inUse);
  }

  /** For other entry points of the package. */
  get [internals](): Internals {
    const { options, source, lifecycle, router, reporter, retainedWal, hook, existing } = this.#parts;
    return {
      version: internalsVersion,
      slot: options.slot.name,
      create: options.manage === 'create',
      systemIdentifier: () => source.prepared?.server.systemIdentifier ?? '',
      over: lifecycle.outcome.over,
      occurrence: (context) => EventHandlerContext.occurrence(context as EventHandlerContext),
      tap: (recipient) => {
        this.refuseWhenOver();
        return tap(router, recipient, existing);
      },
      failed: (failure) => reporter.handlerFailed(failure),
      warn: (warning) => reporter.warn(warning),
      measurements: {
        status: () => this.status(),
        lagSeconds: () => this.#lagSeconds(),
        retainedWal: () => retainedWal.bytes,
        retainedWalLimit: () => source.prepared?.server.maxSlotWalKeepSize,
        reconnects: () => Math.max(0, lifecycle.connects - 1),
        observe: (observer) => hook.add(observer),
      },
    };
  }

  protected override over(reason: Error): void {
    this.#parts.caughtUp.end(reason);
    this.#parts.existing.end(reason);
  }

  /** Undefined if the lag is unknown: nothing has been read yet, or another worker has the slot. */
  #lagSeconds(): number | undefined {
    const { lifecycle, ledger, intake, lag } = this.#parts;
    const { state, downSince } = lifecycle;
    if (state !== 'streaming' && downSince === undefined) return undefined;
    const { handled, oldest } = ledger;
    return lag.seconds({ now: Date.now(), handled, oldest, newest: intake.newest, downSince });
  }
}
