import type { Budget } from '../changes/budget.ts';
import type { Captured, Held, Ledger } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import type { StreamMessage } from './stream-message.ts';

/** Positions kept: more than the acknowledgements that a broker loses when it is killed. */
const remembered = 16_384;

/**
 * Messages that have arrived and are being handled: the remote counterpart of the ledger. A message is acknowledged once all
 * its handlers are done.
 */
export class Inbox implements Pick<Ledger, 'hold' | 'settle' | 'full'> {
  readonly #budget: Budget;
  readonly #acknowledged: boolean;
  readonly #messages = new Map<Held, StreamMessage>();
  /** By position in the stream. */
  readonly #changes = new Map<number, Captured>();
  /** The last messages that are done: position, and when the stream stored the message. */
  readonly #done = new Map<number, string>();
  /** Their positions, oldest first. Finding the first key of a Map would step over all deleted entries. */
  #order = new Queue<number>();
  /** Messages that arrived while the watch was stopping. */
  readonly #late: StreamMessage[] = [];
  #waiting: (() => void) | undefined;
  readonly #settled: (change: Captured) => void;
  #room = Infinity;

  /** `acknowledged`: the consumer expects acknowledgements. `settled` is called when a change is handled. */
  constructor(budget: Budget, acknowledged: boolean, settled: (change: Captured) => void) {
    this.#budget = budget;
    this.#acknowledged = acknowledged;
    this.#settled = settled;
  }

  get size(): number {
    return this.#messages.size;
  }

  get full(): boolean {
    return this.#budget.full;
  }

  /**
   * Whether this process already has the message. If its handler is still running, the newest delivery will be acknowledged. If
   * it is done, the broker lost the acknowledgement, and gets another.
   */
  isKnown(message: StreamMessage): boolean {
    const { seq, time } = message;
    const change = this.#changes.get(seq);
    if (change && this.#messages.get(change)?.time === time) {
      message.release();
      this.#messages.set(change, message);
    } else if (change) {
      // The stream lost the message that is handled here and has another one at its position: that one must not be acknowledged.
      this.#messages.delete(change);
      this.#changes.delete(seq);
      return false;
    } else if (this.#done.get(seq) === time) message.ack();
    else return false;
    return true;
  }

  /** Forgets all positions: in another stream they mean other messages. Running handlers finish. */
  forget(): void {
    this.#messages.clear();
    this.#changes.clear();
    this.#done.clear();
    this.#order = new Queue();
  }

  /** Registers a change and holds it. */
  enter(change: Captured, message: StreamMessage): void {
    message.release();
    if (this.#acknowledged) {
      this.#messages.set(change, message);
      this.#changes.set(message.seq, change);
    }
    this.hold(change);
  }

  hold(change: Held): void {
    this.#budget.hold(change);
  }

  settle(change: Held): void {
    if (!this.#budget.settle(change)) return;
    const message = this.#messages.get(change);
    if (message) {
      this.#messages.delete(change);
      this.#settled(this.#changes.get(message.seq)!);
      this.#changes.delete(message.seq);
      message.ack();
      this.#remember(message);
    }
    this.wake();
  }

  /** Tells the broker that the messages here are still being handled. */
  working(): void {
    for (const message of this.#messages.values()) message.working();
  }

  /** Keeps a message that this process will not handle, to give it back. */
  late(message: StreamMessage): void {
    this.#late.push(message);
  }

  /** Gives back the messages that this process will not handle. */
  giveBack(): void {
    // With a delay: without it, nats-server 2.9 loses one of several messages given back together, and newer servers reorder them.
    for (const message of [...this.#messages.values(), ...this.#late.splice(0)]) message.giveBack(1);
    this.#messages.clear();
    this.#changes.clear();
  }

  /** How many more messages fit below `limit`. */
  free(limit: number): number {
    return Math.max(0, limit - this.size);
  }

  /** Returns a promise while `limit` messages are reached or the memory budget is used up. It resolves when there is room. */
  room(limit: number): Promise<void> | undefined {
    this.#room = limit;
    return this.#hasRoom ? undefined : new Promise((resolve) => (this.#waiting = resolve));
  }

  /** Resolves the promise of `room()`, if there is room or `anyway` is set. */
  wake(anyway = false): void {
    if (!this.#waiting || !(anyway || this.#hasRoom)) return;
    const resolve = this.#waiting;
    this.#waiting = undefined;
    resolve();
  }

  #remember({ seq, time }: StreamMessage): void {
    if (!this.#done.has(seq)) this.#order.push(seq);
    this.#done.set(seq, time);
    if (this.#done.size > remembered) this.#done.delete(this.#order.shift()!);
  }

  get #hasRoom(): boolean {
    return this.size < this.#room && !this.#budget.full;
  }
}
