import type { Captured } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import { type AttemptsHost, type AttemptsLane, Delivery, type DeliveryGroup } from './attempts.ts';
import { Batcher } from './batcher.ts';
import type { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import type { Obstacle, Recipient, RecipientLane } from './recipient.ts';

/** What lanes need of the watch. */
export interface LaneHost extends AttemptsHost {
  /** There is no memory for more. */
  readonly full: boolean;
  hold(deliverable: Deliverable): void;
  settle(deliverable: Deliverable): void;
  /** `busy`: the lane has something that has not settled. */
  busy(lane: Lane, busy: boolean): void;
}

const allRecords = [''] as const;
const noRecords = [] as const;

/**
 * The way of one subscription's events to its handler: in order, at most `concurrency` at once, and those of one record
 * one after the other. A delivery waits for the last one before it of each of its records; so order costs one look-up.
 */
export class Lane implements RecipientLane, AttemptsLane {
  readonly recipient: Recipient;
  readonly host: LaneHost;
  aborted = false;
  running = 0;
  /** In commit order: the first is the oldest that has not settled. */
  readonly #pending = new Set<Delivery>();
  readonly #ready = new Queue<Delivery>();
  readonly #last = new Map<string, Delivery>();
  #group: DeliveryGroup = { open: 0, next: undefined };
  /** The last barrier, until it has settled: it may concern any record. */
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

  /** What has waited longest. */
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

  /** Deliveries that have not settled; a batch is one. */
  get size(): number {
    return this.#pending.size + (this.#batcher?.size ?? 0);
  }

  /** Delivers when it is its turn. */
  enqueue(deliverable: Deliverable, obstacle: Obstacle): void {
    if (this.#batcher && obstacle === undefined) {
      this.host.hold(deliverable);
      this.host.busy(this, true);
      if (this.host.closing) this.#batcher.close();
      this.#batcher.add(deliverable);
      if (this.host.full) this.#batcher.hurry();
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

  /** What waits for its next attempt has its place as well: what comes meanwhile is collected behind it. */
  #isFree(): boolean {
    const { settings, paused } = this.recipient;
    return this.#pending.size < settings.concurrency && !paused && !this.host.closing;
  }

  /** Takes over a handler that was called at once and has not finished. */
  adopt(deliverable: Deliverable, context: HandlerContext, result: PromiseLike<unknown>): void {
    this.#track(deliverable, undefined).watch(context, result);
  }

  /** Takes over a handler that was called at once and threw. */
  adoptFailure(deliverable: Deliverable, context: HandlerContext, error: unknown): void {
    this.#track(deliverable, undefined).threw(context, error);
  }

  /** Calls handlers as far as it may. */
  run(): void {
    if (this.#inRun) return; // what a failure makes ready is taken up by the loop that is on its way
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

  /** Memory is full. */
  hurry(): void {
    this.#batcher?.hurry();
  }

  /** The subscription has ended: what has not begun is not delivered any more. */
  drop(): void {
    this.#ready.drain();
    this.#dropCollected();
    for (const delivery of this.#pending) delivery.drop();
    this.#rest();
  }

  /** The history of what is here is lost. What has not begun, or waits for its next attempt, is dropped. Returns how many events that were. */
  abandon(reason: unknown): number {
    this.#ready.drain();
    let dropped = this.#dropCollected();
    for (const delivery of this.#pending)
      if (delivery.abandon(reason)) dropped += delivery.deliverable.parts?.length ?? 1;
    this.#rest();
    return dropped;
  }

  /** Aborts the signals of the handlers that run. */
  abort(reason: unknown): void {
    this.aborted = true;
    for (const delivery of this.#pending) delivery.abort(reason);
  }

  /** Nothing is begun any more. `unattended`: nobody waits for what runs either. */
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

  #track(deliverable: Deliverable, obstacle: Obstacle): Delivery {
    const { concurrency, pipelined } = this.recipient.settings;
    const barrier = !pipelined && concurrency > 1 && deliverable.barrier === true;
    const records = pipelined || barrier ? noRecords : concurrency === 1 ? allRecords : deliverable.records;
    const delivery = new Delivery(this, deliverable, obstacle, records);
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

  /** It waits for all before it, and all after it wait for it: by group, so that this costs the same however many they are. */
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

  /** What is collected for a batch is not sent. Returns how many events that were. */
  #dropCollected(): number {
    const parts = this.#batcher?.drain() ?? [];
    for (const part of parts) this.host.settle(part);
    return parts.length;
  }

  /** With nothing left, the lane is of no use. */
  #rest(): void {
    if (this.#pending.size === 0 && !this.#batcher?.oldest) this.host.busy(this, false);
  }
}
