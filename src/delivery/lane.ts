import { thrownText, WatchError } from '../errors.ts';
import { Batcher } from './batcher.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import { Queue } from '../changes/queue.ts';
import { decide, isErrorAction, retryDelay } from './retry.ts';
import { handlerTimeout } from './timeout.ts';
import type { BatchOptions, ErrorAction, OnError } from '../types/delivery.ts';

/** `SubscribeOptions` with the watch's defaults filled in. One object for all subscriptions that give none. */
export interface DeliverySettings {
  readonly name: string | undefined;
  readonly onError: OnError;
  readonly timeout: number | undefined;
  readonly concurrency: number;
  readonly transaction: boolean;
  readonly batch: Required<BatchOptions> | undefined;
  /** Handlers are begun in order, and may run at once even for one record: they keep the order themselves. */
  readonly pipelined?: boolean;
}

/** A subscription as far as delivery is concerned. */
export interface Recipient {
  readonly name: string;
  /** What it subscribed to: a watcher's name, or `message:prefix`. */
  readonly watcher: string;
  readonly handler: (event: any, context: any) => unknown;
  readonly settings: DeliverySettings;
  /** False once it has ended. */
  readonly active: boolean;
  /** Its events wait, because nobody has asked for the next one: an iterator. */
  readonly paused: boolean;
  /** There is one while something has not settled. */
  lane: Lane | undefined;
}

/** Why something cannot be handled by a subscription before its handler is even called. Undefined: nothing. */
export type Obstacle = unknown;

/** What lanes need of the watch. */
export interface LaneHost {
  /** No handler is called any more. */
  readonly closing: boolean;
  /** There is no memory for more. */
  readonly full: boolean;
  hold(deliverable: Deliverable): void;
  settle(deliverable: Deliverable): void;
  /** `busy`: the lane has something that has not settled. */
  busy(lane: Lane, busy: boolean): void;
  started(): void;
  ended(): void;
  /** Calls its handler. */
  call(recipient: Recipient, deliverable: Deliverable, context: HandlerContext): unknown;
  failed(failure: Failure): void;
  /** Keeps what its handler could not handle. */
  bury(dead: {
    readonly recipient: Recipient;
    readonly deliverable: Deliverable;
    readonly attempts: number;
    readonly error: unknown;
  }): Promise<void>;
  /** Ends the watch. */
  stop(error: WatchError): void;
}

export interface Failure {
  readonly recipient: Recipient;
  readonly eventId: string;
  readonly attempt: number;
  readonly error: unknown;
  readonly action: ErrorAction;
  readonly retryIn: number | undefined;
}

/** Something on its way to one subscription, unless its handler was done at once. */
export interface Delivery {
  readonly deliverable: Deliverable;
  readonly obstacle: Obstacle;
  readonly records: readonly string[];
  readonly group: Group;
  readonly since: number;
  /** How many earlier deliveries of the same records have not settled. */
  blockedBy: number;
  /** Those that wait for this one. */
  waiters: Delivery[] | undefined;
  attempt: number;
  error: unknown;
  /** Of the attempt that is on its way; undefined between attempts. */
  context: HandlerContext | undefined;
  /** Its dead letter is on its way: it is kept until that is written, whatever becomes of the subscription. */
  burying: boolean;
  timer: NodeJS.Timeout | undefined;
  /** What follows on the attempt that took too long, once it has settled. */
  timedOut: Verdict | undefined;
}

/** Deliveries from one barrier to the next, the first barrier included. */
interface Group {
  /** How many have not settled. */
  open: number;
  /** The barrier that waits for them. */
  next: Delivery | undefined;
}

/** What follows on a failure. */
interface Verdict {
  readonly action: ErrorAction;
  /** Milliseconds. */
  readonly retryIn: number | undefined;
}

const allRecords = [''] as const;
const noRecords = [] as const;

/**
 * The way of one subscription's events to its handler: in order, at most `concurrency` at once, and those of one record
 * one after the other. A delivery waits for the last one before it of each of its records; so order costs one look-up.
 */
export class Lane {
  readonly recipient: Recipient;
  readonly #host: LaneHost;
  /** In commit order: the first is the oldest that has not settled. */
  readonly #pending = new Set<Delivery>();
  readonly #ready = new Queue<Delivery>();
  readonly #last = new Map<string, Delivery>();
  #group: Group = { open: 0, next: undefined };
  /** The last one, until it has settled. */
  #barrier: Delivery | undefined;
  readonly #batcher: Batcher | undefined;
  #running = 0;
  #inRun = false;
  #aborted = false;

  constructor(recipient: Recipient, host: LaneHost) {
    this.recipient = recipient;
    this.#host = host;
    const { batch } = recipient.settings;
    if (batch)
      this.#batcher = new Batcher(
        batch,
        () => this.#isFree(),
        (whole) => this.#queue(whole, undefined),
      );
  }

  /** What has waited longest. */
  get oldest(): Pick<Delivery, 'deliverable' | 'since' | 'attempt' | 'error'> | undefined {
    return this.#pending.values().next().value ?? this.#batcher?.oldest;
  }

  /** Delivers when it is its turn. */
  enqueue(deliverable: Deliverable, obstacle: Obstacle): void {
    if (this.#batcher && obstacle === undefined) {
      this.#host.hold(deliverable);
      this.#host.busy(this, true);
      if (this.#host.closing) this.#batcher.close();
      this.#batcher.add(deliverable);
      if (this.#host.full) this.#batcher.hurry();
      return;
    }
    this.#batcher?.flush(); // what was before it comes before it
    this.#queue(deliverable, obstacle);
  }

  #queue(deliverable: Deliverable, obstacle: Obstacle): void {
    const delivery = this.#track(deliverable, obstacle);
    if (delivery.blockedBy > 0) return;
    this.#ready.push(delivery);
    this.run();
  }

  #isFree(): boolean {
    const { settings, paused } = this.recipient;
    return this.#running < settings.concurrency && this.#ready.length === 0 && !paused && !this.#host.closing;
  }

  /** Takes over a handler that was called at once and has not finished. */
  adopt(deliverable: Deliverable, context: HandlerContext, result: PromiseLike<unknown>): void {
    this.#watch(this.#track(deliverable, undefined), context, result);
  }

  /** Takes over a handler that was called at once and threw. */
  adoptFailure(deliverable: Deliverable, context: HandlerContext, error: unknown): void {
    this.#attemptFailed(this.#track(deliverable, undefined), context, error);
  }

  /** Calls handlers as far as it may. */
  run(): void {
    if (this.#inRun) return; // what a failure makes ready is taken up by the loop that is on its way
    this.#inRun = true;
    const { recipient } = this;
    while (this.#running < recipient.settings.concurrency && !recipient.paused && !this.#host.closing) {
      const delivery = this.#ready.shift();
      if (!delivery) break;
      if (this.#pending.has(delivery)) this.#attempt(delivery);
    }
    this.#inRun = false;
    if (this.#batcher && this.#isFree()) this.#batcher.freed();
  }

  /** Memory is full. */
  hurry(): void {
    this.#batcher?.hurry();
  }

  /** The subscription has ended: what has not begun is not delivered any more. */
  drop(): void {
    this.#ready.drain();
    for (const part of this.#batcher?.drain() ?? []) this.#host.settle(part);
    for (const delivery of this.#pending) {
      if (delivery.context === undefined && !delivery.burying) this.#settle(delivery);
    }
    this.#rest();
  }

  /** Aborts the signals of the handlers that run. */
  abort(reason: unknown): void {
    this.#aborted = true;
    for (const { context } of this.#pending) if (context) HandlerContext.abort(context, reason);
  }

  /** Forgets the timers of attempts that will not be made, and of those that run when nobody waits for them any more. */
  close(abandoned: boolean): void {
    this.#batcher?.close();
    for (const { context, timer } of this.#pending) if (abandoned || context === undefined) clearTimeout(timer);
  }

  #track(deliverable: Deliverable, obstacle: Obstacle): Delivery {
    const { concurrency, pipelined } = this.recipient.settings;
    const parallel = !pipelined && concurrency > 1;
    const barrier = parallel && deliverable.barrier === true;
    const records =
      parallel && !barrier ? deliverable.records : concurrency === 1 && !pipelined ? allRecords : noRecords;
    const before = this.#group;
    if (barrier) this.#group = { open: 0, next: undefined };
    const delivery: Delivery = {
      deliverable, obstacle, records, group: this.#group, since: Date.now(), blockedBy: 0,
      waiters: undefined, attempt: 1, error: undefined, context: undefined, burying: false, timer: undefined, timedOut: undefined,
    }; // prettier-ignore
    delivery.group.open++;
    for (const record of records) {
      const last = this.#last.get(record);
      if (last) this.#block(delivery, last);
      this.#last.set(record, delivery);
    }
    if (barrier) {
      if (before.open > 0) {
        before.next = delivery;
        delivery.blockedBy++;
      }
      this.#barrier = delivery;
    } else if (this.#barrier) this.#block(delivery, this.#barrier);
    this.#host.hold(deliverable);
    this.#pending.add(delivery);
    if (this.#pending.size === 1) this.#host.busy(this, true);
    return delivery;
  }

  #block(delivery: Delivery, by: Delivery): void {
    (by.waiters ??= []).push(delivery);
    delivery.blockedBy++;
  }

  #unblock(delivery: Delivery): void {
    if (--delivery.blockedBy === 0) this.#ready.push(delivery);
  }

  #attempt(delivery: Delivery): void {
    const { deliverable, obstacle } = delivery;
    if (deliverable.outdated) {
      this.#comesAgain(delivery);
      return;
    }
    const context = deliverable.context(delivery.attempt);
    if (obstacle !== undefined) {
      this.#attemptFailed(delivery, context, obstacle);
      return;
    }
    this.#host.started();
    delivery.context = context; // it runs from now on, though its subscription may end meanwhile
    try {
      const result = this.#host.call(this.recipient, deliverable, context);
      if (isThenable(result)) {
        this.#watch(delivery, context, result);
        return;
      }
    } catch (error) {
      delivery.context = undefined;
      this.#host.ended();
      this.#attemptFailed(delivery, context, error);
      return;
    }
    delivery.context = undefined;
    this.#host.ended();
    this.#settle(delivery);
  }

  /** Waits for a handler that has not finished at once. */
  #watch(delivery: Delivery, context: HandlerContext, result: PromiseLike<unknown>): void {
    this.#running++;
    delivery.context = context;
    const { timeout } = this.recipient.settings;
    if (timeout !== undefined) {
      delivery.timer = setTimeout(() => {
        const error = handlerTimeout(this.recipient.name, timeout);
        HandlerContext.abort(context, error);
        delivery.timedOut = this.#judge(delivery, context, error);
      }, timeout);
    }
    result.then(
      () => this.#settled(delivery, context, false, undefined),
      (error: unknown) => this.#settled(delivery, context, true, error),
    );
  }

  /** A handler that was waited for has finished. */
  #settled(delivery: Delivery, context: HandlerContext, failed: boolean, error: unknown): void {
    if (delivery.timer !== undefined) clearTimeout(delivery.timer);
    delivery.context = undefined;
    this.#running--;
    this.#host.ended();
    const { timedOut } = delivery;
    if (timedOut) {
      delivery.timedOut = undefined;
      this.#follow(delivery, timedOut.action, timedOut.retryIn);
    } else if (!failed) this.#settle(delivery);
    else if (delivery.deliverable.outdated) this.#comesAgain(delivery);
    // What fails because we end it has not failed: onError may say to skip it, but it must come again.
    else if (!this.#aborted) this.#attemptFailed(delivery, context, error);
    this.run();
  }

  /** While we end it must not settle: the rest of its transaction may have come without it. */
  #comesAgain(delivery: Delivery): void {
    if (!this.#host.closing) this.#settle(delivery);
  }

  #attemptFailed(delivery: Delivery, context: HandlerContext, error: unknown): void {
    const { action, retryIn } = this.#judge(delivery, context, error);
    this.#follow(delivery, action, retryIn);
    this.run();
  }

  /** Decides what follows on a failure, and tells. A stop is carried out at once. */
  #judge(delivery: Delivery, context: HandlerContext, error: unknown): Verdict {
    delivery.error = error;
    const { recipient } = this;
    let action: ErrorAction = 'retry';
    try {
      const decided = decide(recipient.settings.onError, error, context);
      // Whatever else a function returns: nothing may be skipped that the user did not say to skip.
      // A transaction has no letter.
      if (isErrorAction(decided) && !(decided === 'deadLetter' && delivery.deliverable.streamed)) action = decided;
    } catch (cause) {
      delivery.error = cause;
    }
    if (action === 'retry' && delivery.deliverable.repeatable === false) action = 'stop';
    const retryIn = action === 'retry' ? retryDelay(delivery.attempt, Math.random()) : undefined;
    this.#host.failed({
      recipient,
      eventId: context.eventId,
      attempt: delivery.attempt,
      error: delivery.error,
      action,
      retryIn,
    });
    if (action === 'stop') {
      this.#host.stop(
        new WatchError(
          'HANDLER_FAILED',
          `${recipient.name}: the handler failed at event ${context.eventId}, attempt ${delivery.attempt}: ${thrownText(error)}`,
          {
            solution: 'Mend the handler and start again: the event was not acknowledged and comes again.',
            cause: error,
          },
        ),
      );
    }
    return { action, retryIn };
  }

  #follow(delivery: Delivery, action: ErrorAction, retryIn: number | undefined): void {
    const { active } = this.recipient;
    if (action === 'deadLetter' && !this.#host.closing) this.#bury(delivery, 1);
    if (action === 'skip' || (action === 'retry' && !active)) this.#settle(delivery);
    if (action !== 'retry' || !active || this.#host.closing) return;
    // It keeps its records, so that nothing overtakes it, but not its place among those that run.
    delivery.attempt++;
    delivery.timer = setTimeout(() => {
      this.#ready.push(delivery);
      this.run();
    }, retryIn);
  }

  /** Settles it once its letter is written; until then it is kept, and the slot with it. */
  #bury(delivery: Delivery, attempt: number): void {
    const { deliverable, attempt: attempts, error } = delivery;
    delivery.burying = true;
    this.#host.bury({ recipient: this.recipient, deliverable, attempts, error }).then(
      () => {
        this.#settle(delivery);
        this.run();
      },
      () => {
        if (this.#host.closing) return;
        delivery.timer = setTimeout(() => this.#bury(delivery, attempt + 1), retryDelay(attempt, Math.random()));
      },
    );
  }

  #settle(delivery: Delivery): void {
    if (delivery.timer !== undefined) clearTimeout(delivery.timer);
    if (!this.#pending.delete(delivery)) return;
    for (const record of delivery.records) if (this.#last.get(record) === delivery) this.#last.delete(record);
    if (delivery.waiters) for (const waiter of delivery.waiters) this.#unblock(waiter);
    if (this.#barrier === delivery) this.#barrier = undefined;
    const { group } = delivery;
    if (--group.open === 0 && group.next) this.#unblock(group.next);
    this.#host.settle(delivery.deliverable);
    this.#rest();
  }

  /** With nothing left, the lane is of no use. */
  #rest(): void {
    if (this.#pending.size === 0 && !this.#batcher?.oldest) this.#host.busy(this, false);
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
