import type { Captured } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import { type AttemptsHost, type AttemptsLane, Delivery, type DeliveryGroup } from './attempts.ts';
import { Batcher } from './batcher.ts';
import type { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { ConditionError, Recipient, RecipientLane } from './recipient.ts';

/** What lanes need from the watch. */
export interface LaneHost extends AttemptsHost {
  /** The memory limit is reached. */
  readonly full: boolean;
  hold(deliverable: Deliverable): void;
  settle(deliverable: Deliverable): void;
  /** `busy`: the lane has unsettled deliveries. */
  busy(lane: Lane, busy: boolean): void;
}

const allRecords = [''] as const;
const noRecords = [] as const;

/**
 * Delivers one subscription's events to its handler: in order, at most `concurrency` at once, and events of one record one
 * after the other. A delivery waits for the last earlier delivery of each of its records, so order costs one look-up.
 */
export class Lane implements RecipientLane, AttemptsLane {
  readonly recipient: Recipient;
  readonly host: LaneHost;
  aborted = false;
  running = 0;
  /** In commit order: the first is the oldest unsettled one. */
  readonly #pending = new Set<Delivery>();
  readonly #ready = new Queue<Delivery>();
  readonly #last = new Map<string, Delivery>();
  #group: DeliveryGroup = { open: 0, next: undefined };
  /** The last unsettled barrier; it may concern any record. */
  #barrier: Delivery | undefined;
  readonly #batcher: Batcher | undefined;
  #inRun = false;

  constructor(recipient: Recipient, host: LaneHost) {
    this.recipient = recipient;
    this.host = host;
    const { batch } = recipient.settings;
    if (batch)
      this.#batcher = new Batcher(
        batch,
        () => this.#isFree(),
        (whole) => this.#queue(whole, undefined),
      );
  }

  /** The delivery that has waited longest. */
  get oldest(): Pick<Delivery, 'deliverable' | 'since' | 'attempt' | 'error'> | undefined {
    return this.#pending.values().next().value ?? this.#batcher?.oldest;
  }

  /** The oldest change of the stream that has not settled. Rows that are read from their table hold nothing back. */
  get holding(): Captured | undefined {
    for (const { deliverable } of this.#pending) {
      const held = (deliverable.parts ?? [deliverable]).find(({ change }) => change.existing !== true);
      if (held) return held.change;
    }
    return this.#batcher?.holding;
  }

  /** The number of unsettled deliveries; a batch counts as one. */
  get size(): number {
    return this.#pending.size + (this.#batcher?.size ?? 0);
  }

  /** Delivers it when its turn comes. */
  enqueue(deliverable: Deliverable, conditionError: ConditionError): void {
    if (this.#batcher && conditionError === undefined && deliverable.alone !== true) {
      this.host.hold(deliverable);
      this.host.busy(this, true);
      if (this.host.closing) this.#batcher.close();
      this.#batcher.add(deliverable);
      if (this.host.full) this.#batcher.sendSoon();
      return;
    }
    this.#batcher?.flush(); // earlier events must be delivered first
    this.#queue(deliverable, conditionError);
  }

  #queue(deliverable: Deliverable, conditionError: ConditionError): void {
    const delivery = this.#track(deliverable, conditionError);
    if (delivery.blockedBy > 0) return;
    this.#ready.push(delivery);
    this.run();
  }

  /** Deliveries that wait for a retry count too: later events are collected behind them. */
  #isFree(): boolean {
    const { settings, paused } = this.recipient;
    return this.#pending.size < settings.concurrency && !paused && !this.host.closing;
  }

  /** Takes over a delivery whose handler was called directly and returned a promise. */
  adopt(deliverable: Deliverable, context: HandlerContext, result: PromiseLike<unknown>): void {
    this.#track(deliverable, undefined).watch(context, result);
  }

  /** Takes over a delivery whose handler was called directly and threw. */
  adoptFailure(deliverable: Deliverable, context: HandlerContext, error: unknown): void {
    this.#track(deliverable, undefined).threw(context, error);
  }

  /** Calls as many handlers as concurrency allows. */
  run(): void {
    if (this.#inRun) return; // the running loop also takes what a failure makes ready
    this.#inRun = true;
    const { recipient } = this;
    while (this.running < recipient.settings.concurrency && !recipient.paused && !this.host.closing) {
      const delivery = this.#ready.shift();
      if (!delivery) break;
      if (this.#pending.has(delivery)) delivery.begin();
    }
    this.#inRun = false;
    if (this.#batcher && this.#isFree()) this.#batcher.freed();
  }

  /** Memory is full: does not wait for larger batches. */
  sendBatch(): void {
    this.#batcher?.sendSoon();
  }

  /** The subscription has ended: drops deliveries that have not begun. Returns how many of them are changes of the stream. */
  drop(): number {
    this.#ready.drain();
    const dropped = [...this.#dropCollected()];
    const pending = [...this.#pending];
    for (const delivery of pending) delivery.drop();
    for (const delivery of pending) {
      const { deliverable } = delivery;
      if (!this.#pending.has(delivery)) dropped.push(...(deliverable.parts ?? [deliverable]));
    }
    this.#rest();
    return dropped.filter(({ change }) => change.existing !== true).length;
  }

  /** The history of these events is lost. Drops deliveries that have not begun or wait for a retry. Returns the number of dropped events. */
  discard(reason: unknown): number {
    this.#ready.drain();
    let dropped = this.#dropCollected().length;
    for (const delivery of this.#pending)
      if (delivery.discard(reason)) dropped += delivery.deliverable.parts?.length ?? 1;
    this.#rest();
    return dropped;
  }

  /** Aborts the signals of the running handlers. */
  abort(reason: unknown): void {
    this.aborted = true;
    for (const delivery of this.#pending) delivery.abort(reason);
  }

  /** Starts no more handlers. `unattended`: running handlers are not waited for either. */
  close(unattended: boolean): void {
    this.#batcher?.close();
    for (const delivery of this.#pending) delivery.close(unattended);
  }

  ready(delivery: Delivery): void {
    this.#ready.push(delivery);
  }

  settled(delivery: Delivery): void {
    if (!this.#pending.delete(delivery)) return;
    for (const record of delivery.records) if (this.#last.get(record) === delivery) this.#last.delete(record);
    if (delivery.waiters) for (const waiter of delivery.waiters) this.#unblock(waiter);
    if (this.#barrier === delivery) this.#barrier = undefined;
    const group = delivery.group!;
    if (--group.open === 0 && group.next) this.#unblock(group.next);
    this.host.settle(delivery.deliverable);
    this.#rest();
  }

  #track(deliverable: Deliverable, conditionError: ConditionError): Delivery {
    const { concurrency, pipelined } = this.recipient.settings;
    const barrier = !pipelined && concurrency > 1 && deliverable.barrier === true;
    const records = pipelined || barrier ? noRecords : concurrency === 1 ? allRecords : deliverable.records;
    const delivery = new Delivery(this, deliverable, conditionError, records);
    for (const record of records) {
      const last = this.#last.get(record);
      if (last) this.#block(delivery, last);
      this.#last.set(record, delivery);
    }
    if (barrier) this.#raise(delivery);
    else if (this.#barrier) this.#block(delivery, this.#barrier);
    delivery.group = this.#group;
    this.#group.open++;
    this.host.hold(deliverable);
    this.#pending.add(delivery);
    if (this.#pending.size === 1) this.host.busy(this, true);
    return delivery;
  }

  /** The barrier waits for the group before it and blocks everything after it. With groups this costs the same for any number of deliveries. */
  #raise(barrier: Delivery): void {
    if (this.#group.open > 0) {
      this.#group.next = barrier;
      barrier.blockedBy++;
    }
    this.#group = { open: 0, next: undefined };
    this.#barrier = barrier;
  }

  #block(delivery: Delivery, by: Delivery): void {
    (by.waiters ??= []).push(delivery);
    delivery.blockedBy++;
  }

  #unblock(delivery: Delivery): void {
    if (--delivery.blockedBy === 0) this.#ready.push(delivery);
  }

  /** Drops the events collected for a batch, and returns them. */
  #dropCollected(): readonly Deliverable[] {
    const parts = this.#batcher?.drain() ?? [];
    for (const part of parts) this.host.settle(part);
    return parts;
  }

  /** An empty lane is removed. */
  #rest(): void {
    if (this.#pending.size === 0 && !this.#batcher?.oldest) this.host.busy(this, false);
  }
}
