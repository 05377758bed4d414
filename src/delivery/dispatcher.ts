import type { WatchError } from '../errors.ts';
import type { HandlerHook } from './handler-hook.ts';
import type { HeldBy } from '../types/events.ts';
import type { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import { Lane, type LaneHost } from './lane.ts';
import type { Dead, Failure, Obstacle, Recipient, RecipientLane } from './recipient.ts';
import type { RecoveryView } from './recovery.ts';
import { rowSql } from './row-sql.ts';
import { isThenable } from './thenable.ts';
import type { Captured, Ledger, LedgerTransaction } from '../changes/ledger.ts';

/** Brings what happened to handlers, and knows what has not settled. */
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
  /** Handlers that run now. */
  running = 0;
  /** Milliseconds since 1970; 0: none yet. */
  lastEventAt = 0;
  /** What came then: its transaction, and its place there. */
  #lastTransaction: LedgerTransaction | undefined;
  #lastOrdinal = -1;

  constructor(
    ledger: Pick<Ledger, 'hold' | 'settle' | 'full'>,
    on: {
      readonly failed: (failure: Failure) => void;
      readonly stop: (error: WatchError) => void;
      readonly warn: (warning: WatchError) => void;
      readonly bury: LaneHost['bury'];
      /** What processes before this one left behind. */
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

  deliver(recipient: Recipient, deliverable: Deliverable, obstacle: Obstacle): void {
    if (!recipient.active) return; // ended by another handler of the same change
    this.#heard(deliverable.change);
    let direct = obstacle === undefined && recipient.settings.batch === undefined && !deliverable.streamed;
    const recovery = this.#recovery;
    if (recovery?.open) {
      if (recovery.covers(deliverable.change)) {
        if (recovery.isDead(recipient, deliverable)) {
          deliverable.settled?.();
          return; // since before a crash
        }
        direct = false;
      } else if (this.#busy.size === 0) recovery.close();
    }
    if (recipient.lane !== undefined || !direct || recipient.paused || this.closing) {
      this.#laneOf(recipient).enqueue(deliverable, obstacle);
      return;
    }
    // Nothing is before it: most handlers are done at once, and then nothing has to be remembered.
    const { timeout, transaction } = recipient.settings;
    const shared = timeout === undefined && !transaction ? deliverable.shared : undefined;
    const context = shared ?? deliverable.context(1);
    this.started();
    let result: unknown;
    let goesOn: boolean;
    try {
      result = this.call(recipient, deliverable, context);
      goesOn = isThenable(result);
    } catch (error) {
      this.ended();
      this.#laneOf(recipient).adoptFailure(deliverable, context, error);
      return;
    }
    if (goesOn) this.#laneOf(recipient).adopt(deliverable, context, result as PromiseLike<unknown>);
    else {
      this.ended();
      if (deliverable.settled !== undefined) deliverable.settled();
    }
  }

  /** Deliveries that have not settled: one change may wait for many subscriptions. */
  get deliveries(): number {
    let count = 0;
    for (const lane of this.#busy) count += lane.size;
    return count;
  }

  get full(): boolean {
    return this.#ledger.full;
  }

  /** Memory is full: what is collected for batches goes out, for only that makes room. */
  hurry(): void {
    for (const lane of this.#busy) lane.hurry();
  }

  /** The oldest event that has not settled. */
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
   * Calls no handler any more, and waits until those that run have settled. After `timeout` milliseconds their signals
   * are aborted with `reason`, and who heeds that at once is still waited for.
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
   * The server does not continue the history of what is here: what has not begun, or waits for its next attempt, is
   * dropped, and handlers that run finish without moving a position. The ledger has forgotten them before, or it would
   * count them as handled. Returns how many events were dropped.
   */
  abandon(reason: unknown): number {
    let dropped = 0;
    for (const lane of this.#busy) dropped += lane.abandon(reason);
    return dropped;
  }

  /** The parts of a batch are held since they came. */
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
    if (busy) this.#busy.add(lane);
    else {
      this.#busy.delete(lane);
      lane.recipient.lane = undefined;
    }
  }

  started(): void {
    this.running++;
  }

  ended(): void {
    this.running--;
    if (this.running === 0 && this.#whenIdle) queueMicrotask(this.#whenIdle); // after the handler's event has settled
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

  /** The clock is read once for a change, not for each who is meant. */
  #heard({ transaction, ordinal }: Captured): void {
    if (transaction === this.#lastTransaction && ordinal === this.#lastOrdinal) return;
    this.#lastTransaction = transaction;
    this.#lastOrdinal = ordinal;
    this.lastEventAt = Date.now();
  }

  #laneOf(recipient: Recipient): RecipientLane {
    return (recipient.lane ??= new Lane(recipient, this));
  }
}
