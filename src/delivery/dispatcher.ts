import type { WatchError } from '../errors.ts';
import type { HandlerHook } from './handler-hook.ts';
import type { HeldBy } from '../types/events.ts';
import type { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import { Lane, type LaneHost } from './lane.ts';
import type { Dead, Failure, ConditionError, Recipient, RecipientLane } from './recipient.ts';
import type { RecoveryView } from './recovery.ts';
import { rowSql } from './row-sql.ts';
import { isThenable } from './thenable.ts';
import type { Captured, Ledger, LedgerTransaction } from '../changes/ledger.ts';

/** Passes changes, messages and transactions to handlers, and knows which have not settled. */
export class Dispatcher implements LaneHost {
  readonly #ledger: Pick<Ledger, 'hold' | 'settle' | 'full'>;
  readonly #onFailed: (failure: Failure) => void;
  readonly #onStop: (error: WatchError) => void;
  readonly #onWarning: (warning: WatchError) => void;
  readonly #bury: LaneHost['bury'];
  readonly #recovery: RecoveryView | undefined;
  readonly #hook: HandlerHook | undefined;
  readonly #busy = new Set<Lane>();
  #whenIdle: (() => void) | undefined;
  closing = false;
  /** The number of running handlers. */
  running = 0;
  /** Milliseconds since 1970; 0: no event yet. */
  lastEventAt = 0;
  /** The transaction and ordinal of the last event. */
  #lastTransaction: LedgerTransaction | undefined;
  #lastOrdinal = -1;

  constructor(
    ledger: Pick<Ledger, 'hold' | 'settle' | 'full'>,
    on: {
      readonly failed: (failure: Failure) => void;
      readonly stop: (error: WatchError) => void;
      readonly warn: (warning: WatchError) => void;
      readonly bury: LaneHost['bury'];
      /** What earlier processes left behind. */
      readonly recovery?: RecoveryView | undefined;
      readonly hook?: HandlerHook;
    },
  ) {
    this.#ledger = ledger;
    this.#onFailed = on.failed;
    this.#onStop = on.stop;
    this.#onWarning = on.warn;
    this.#bury = on.bury;
    this.#recovery = on.recovery;
    this.#hook = on.hook;
  }

  deliver(recipient: Recipient, deliverable: Deliverable, conditionError: ConditionError): void {
    if (!recipient.active) return; // ended by another handler of the same change
    this.#noteTime(deliverable.change);
    let direct = conditionError === undefined && recipient.settings.batch === undefined && !deliverable.streamed;
    const recovery = this.#recovery;
    if (recovery?.open) {
      if (recovery.covers(deliverable.change)) {
        if (recovery.isDead(recipient, deliverable)) {
          deliverable.settled?.();
          return; // it became a dead letter before a crash
        }
        direct = false;
      } else if (this.#busy.size === 0) recovery.close();
    }
    if (recipient.lane !== undefined || !direct || recipient.paused || this.closing) {
      this.#laneOf(recipient).enqueue(deliverable, conditionError);
      return;
    }
    // Nothing is before it. Most handlers finish synchronously, and then nothing has to be recorded.
    const { timeout, transaction } = recipient.settings;
    const shared = timeout === undefined && !transaction ? deliverable.shared : undefined;
    const context = shared ?? deliverable.context(1);
    this.started();
    let result: unknown;
    let pending: boolean;
    try {
      result = this.call(recipient, deliverable, context);
      pending = isThenable(result);
    } catch (error) {
      this.ended();
      this.#laneOf(recipient).adoptFailure(deliverable, context, error);
      return;
    }
    if (pending) this.#laneOf(recipient).adopt(deliverable, context, result as PromiseLike<unknown>);
    else {
      this.ended();
      if (deliverable.settled !== undefined) deliverable.settled();
    }
  }

  /** The number of unsettled deliveries; one change can have one per subscription. */
  get deliveries(): number {
    let count = 0;
    for (const lane of this.#busy) count += lane.size;
    return count;
  }

  get full(): boolean {
    return this.#ledger.full;
  }

  /** Memory is full: sends collected batches early, because only that frees memory. */
  sendBatches(): void {
    for (const lane of this.#busy) lane.sendBatch();
  }

  /** The oldest unsettled event. */
  get heldBy(): HeldBy | undefined {
    let oldest: HeldBy | undefined;
    let position: readonly [bigint, number] | undefined;
    for (const lane of this.#busy) {
      const delivery = lane.oldest;
      const held = lane.holding;
      if (!delivery || !held) continue;
      const { transaction, ordinal } = held;
      if (
        position &&
        (transaction.finalLsn > position[0] || (transaction.finalLsn === position[0] && ordinal >= position[1]))
      )
        continue;
      position = [transaction.finalLsn, ordinal];
      const { attempt, error } = delivery;
      const { eventId } = delivery.deliverable.change; // what is before it, maybe a row that was read
      const { name } = lane.recipient;
      const sql = rowSql(delivery.deliverable);
      oldest = { subscription: name, eventId, since: new Date(delivery.since), attempt, error, sql };
    }
    return oldest;
  }

  /**
   * Stops calling handlers and waits until the running ones have settled. After `timeout` milliseconds their signals are
   * aborted with `reason`; handlers that react to that at once are still waited for.
   */
  async close(timeout: number, reason: unknown): Promise<void> {
    this.closing = true;
    for (const lane of this.#busy) lane.close(false);
    if (this.running === 0) return;
    const idle = new Promise<void>((resolve) => (this.#whenIdle = resolve));
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        for (const lane of this.#busy) lane.abort(reason);
        setImmediate(resolve);
      }, timeout);
    });
    await Promise.race([idle, patience]);
    clearTimeout(timer);
    for (const lane of this.#busy) lane.close(true);
  }

  /**
   * The server no longer has the history of these events. Events that have not begun or wait for a retry are dropped.
   * Running handlers finish without moving a position. The caller must reset the ledger first, or it would count the
   * events as handled. Returns the number of dropped events.
   */
  discard(reason: unknown): number {
    let dropped = 0;
    for (const lane of this.#busy) dropped += lane.discard(reason);
    return dropped;
  }

  /** The parts of a batch are already held. */
  hold(deliverable: Deliverable): void {
    if (!deliverable.parts) this.#ledger.hold(deliverable.change);
  }

  settle(deliverable: Deliverable): void {
    if (deliverable.parts)
      for (const part of deliverable.parts) {
        this.#ledger.settle(part.change);
        part.settled?.();
      }
    else this.#ledger.settle(deliverable.change);
    deliverable.settled?.();
  }

  busy(lane: Lane, busy: boolean): void {
    if (busy) {
      this.#busy.add(lane);
      lane.recipient.lane = lane; // it may have become empty, and so was removed, while it took this delivery
    } else {
      this.#busy.delete(lane);
      lane.recipient.lane = undefined;
    }
  }

  started(): void {
    this.running++;
  }

  ended(): void {
    this.running--;
    if (this.running === 0 && this.#whenIdle) queueMicrotask(this.#whenIdle); // runs after the handler's event has settled
  }

  call(recipient: Recipient, deliverable: Deliverable, context: HandlerContext): unknown {
    const recovery = this.#recovery;
    if (recovery?.open && recovery.counts(recipient, deliverable))
      return recovery.call(recipient, deliverable, context, () => this.#call(recipient, deliverable, context));
    return this.#call(recipient, deliverable, context);
  }

  firstAttempt(recipient: Recipient, deliverable: Deliverable): number {
    const recovery = this.#recovery;
    return recovery?.open ? recovery.firstAttempt(recipient, deliverable) : 1;
  }

  #call(recipient: Recipient, deliverable: Deliverable, context: HandlerContext): unknown {
    const hook = this.#hook;
    return hook?.on ? hook.call(recipient, deliverable, context) : recipient.handler(deliverable.event, context);
  }

  failed(failure: Failure): void {
    this.#onFailed(failure);
  }

  warn(warning: WatchError): void {
    this.#onWarning(warning);
  }

  async bury(dead: Dead): Promise<void> {
    for (const deliverable of dead.deliverable.delivered ?? [dead.deliverable])
      await this.#bury({ ...dead, deliverable });
  }

  stop(error: WatchError): void {
    this.#onStop(error);
  }

  /** Reads the clock once per change, not once per subscription. */
  #noteTime({ transaction, ordinal }: Captured): void {
    if (transaction === this.#lastTransaction && ordinal === this.#lastOrdinal) return;
    this.#lastTransaction = transaction;
    this.#lastOrdinal = ordinal;
    this.lastEventAt = Date.now();
  }

  #laneOf(recipient: Recipient): RecipientLane {
    return (recipient.lane ??= new Lane(recipient, this));
  }
}
