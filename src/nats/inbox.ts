import type { Budget } from '../changes/budget.ts';
import type { Captured, Held, Ledger } from '../changes/ledger.ts';
import { Queue } from '../changes/queue.ts';
import type { StreamMessage } from './stream-message.ts';

/** How many positions: more than a broker that is killed forgets acknowledgements of. */
const remembered = 16_384;

/**
 * What has arrived and is being handled: the remote side of the ledger. A message is acknowledged once all who were meant
 * by it are done.
 */
export class Inbox implements Pick<Ledger, 'hold' | 'settle' | 'full'> {
  readonly #budget: Budget;
  readonly #acknowledged: boolean;
  readonly #messages = new Map<Held, StreamMessage>();
  /** By position in the stream. */
  readonly #changes = new Map<number, Captured>();
  /** The last messages that are done: their positions, and when the stream stored them. */
  readonly #done = new Map<number, string>();
  /** Their positions in the order in which they are forgotten: to find the first of a Map passes over all that were taken out of it. */
  #order = new Queue<number>();
  /** What came while the watch was ending. */
  readonly #late: StreamMessage[] = [];
  #waiting: (() => void) | undefined;
  readonly #settled: (change: Captured) => void;
  #room = Infinity;

  /** `acknowledged`: the consumer wants acknowledgements. `settled`: a change is handled. */
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
   * Whether the message is known here, though it came again: because it is handled for long, and then it is acknowledged as
   * the newest; or because the broker did not keep the acknowledgement, and then it gets another.
   */
  isKnown(message: StreamMessage): boolean {
    const { seq, time } = message;
    const change = this.#changes.get(seq);
    if (change && this.#messages.get(change)?.time === time) {
      message.release();
      this.#messages.set(change, message);
    } else if (change) {
      // The stream lost what is handled here, and has another message in its place: that one must not be acknowledged for it.
      this.#messages.delete(change);
      this.#changes.delete(seq);
      return false;
    } else if (this.#done.get(seq) === time) message.ack();
    else return false;
    return true;
  }

  /** Positions in another stream mean other messages. What is being handled is handled to its end. */
  forget(): void {
    this.#messages.clear();
    this.#changes.clear();
    this.#done.clear();
    this.#order = new Queue();
  }

  /** Enters a change, and holds it. */
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

  /** Tells the broker that what is here is being worked on. */
  working(): void {
    for (const message of this.#messages.values()) message.working();
  }

  /** Keeps a message that nobody here will handle, to be given back. */
  late(message: StreamMessage): void {
    this.#late.push(message);
  }

  /** Gives back what nobody here will handle, for others or for later. */
  giveBack(): void {
    // With a delay: nats-server 2.9 loses one of several that are given back at once without, and newer ones mix up their order.
    for (const message of [...this.#messages.values(), ...this.#late.splice(0)]) message.giveBack(1);
    this.#messages.clear();
    this.#changes.clear();
  }

  /** How many messages more than this there is room for. */
  free(limit: number): number {
    return Math.max(0, limit - this.size);
  }

  /** A promise while there is no room: more than `limit` messages, or no memory. */
  room(limit: number): Promise<void> | undefined {
    this.#room = limit;
    return this.#hasRoom ? undefined : new Promise((resolve) => (this.#waiting = resolve));
  }

  /** Ends the waiting for room, if there is some or `anyway`. */
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
