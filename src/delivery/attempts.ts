import type { WatchError } from '../errors.ts';
import type { ErrorAction } from '../types/delivery.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import { handlerFailed, heldForever, neverFinished } from './failures.ts';
import { Interrupted } from './interrupted.ts';
import type { Dead, Failure, Recipient } from './recipient.ts';
import { decide, retryDelay } from './retry.ts';
import { rowSql } from './row-sql.ts';
import { isThenable } from './thenable.ts';
import { handlerTimeout } from './timeout.ts';

/** What attempts need from the watch. */
export interface AttemptsHost {
  /** The watch is closing: no more handlers are called. */
  readonly closing: boolean;
  started(): void;
  ended(): void;
  /** Calls the recipient's handler. */
  call(recipient: Recipient, deliverable: Deliverable, context: HandlerContext): unknown;
  /** 1, or higher if earlier processes ended while handling it. */
  firstAttempt(recipient: Recipient, deliverable: Deliverable): number;
  failed(failure: Failure): void;
  warn(warning: WatchError): void;
  /** Writes the dead letter of a delivery. */
  bury(dead: Dead): Promise<void>;
  /** Ends the watch. */
  stop(error: WatchError): void;
}

/** What attempts need from their lane. */
export interface AttemptsLane {
  readonly recipient: Recipient;
  readonly host: AttemptsHost;
  /** The signals of running handlers have been aborted because the watch ends. */
  readonly aborted: boolean;
  /** The number of handlers that returned a promise and have not finished. */
  running: number;
  /** The delivery's next attempt may start. */
  ready(delivery: Delivery): void;
  settled(delivery: Delivery): void;
  run(): void;
}

/** The decision after a failed attempt. */
interface Verdict {
  readonly action: ErrorAction;
  /** Milliseconds. Undefined: no further attempt. */
  readonly retryIn: number | undefined;
}

/** The deliveries after one barrier up to and including the next. */
export interface DeliveryGroup {
  /** The number of unsettled deliveries. */
  open: number;
  /** The barrier that waits for this group. */
  next: Delivery | undefined;
}

/**
 * One delivery to one subscription, with all its attempts, until it is handled, skipped or a dead letter. It is not
 * needed if the handler can be called directly and succeeds synchronously. There are three kinds of failure:
 * - the handler failed: this counts as an attempt, and `onError` decides what happens next;
 * - a permanent failure, because no attempt can succeed: the final action of `onError` applies at once;
 * - an interruption, which is not the handler's fault: the same attempt is repeated.
 */
export class Delivery {
  readonly deliverable: Deliverable;
  /** The group of its lane that it belongs to. */
  group: DeliveryGroup | undefined = undefined;
  readonly records: readonly string[];
  /** Milliseconds since 1970. */
  readonly since = Date.now();
  /** The number of earlier, unsettled deliveries of the same records. */
  blockedBy = 0;
  /** Deliveries that wait for this one. */
  waiters: Delivery[] | undefined = undefined;
  attempt: number;
  error: unknown = undefined;
  readonly #lane: AttemptsLane;
  readonly #conditionError: unknown;
  /** The context of the running attempt; undefined between attempts. */
  #context: HandlerContext | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** The decision about an attempt that timed out; carried out when its handler has settled. */
  #timedOut: Verdict | undefined = undefined;
  #interruptions = 0;
  /** Its dead letter is being written. It is kept until then, even if the subscription ends. */
  #writingLetter = false;
  /** It belongs to a history that the server no longer has. */
  #discarded = false;

  constructor(lane: AttemptsLane, deliverable: Deliverable, conditionError: unknown, records: readonly string[]) {
    this.#lane = lane;
    this.deliverable = deliverable;
    this.#conditionError = conditionError;
    this.records = records;
    this.attempt = lane.host.firstAttempt(lane.recipient, deliverable);
  }

  /** Starts an attempt. */
  begin(): void {
    const { deliverable } = this;
    const { host, recipient } = this.#lane;
    if (deliverable.outdated) {
      this.#redelivered();
      return;
    }
    const refused = this.#conditionError ?? this.#startedTooOften();
    const context = deliverable.context(this.attempt);
    if (refused !== undefined) {
      this.#failed(context, refused, true);
      return;
    }
    host.started();
    this.#context = context; // set before the call: the handler may end its own subscription
    try {
      const result = host.call(recipient, deliverable, context);
      if (isThenable(result)) {
        this.watch(context, result);
        return;
      }
    } catch (error) {
      this.#context = undefined;
      host.ended();
      this.#failed(context, error, false);
      return;
    }
    this.#context = undefined;
    host.ended();
    this.#settle();
  }

  /** Waits for a handler that returned a promise. */
  watch(context: HandlerContext, result: PromiseLike<unknown>): void {
    const promise = Promise.resolve(result); // a custom thenable may throw, or call back synchronously
    const { timeout, transaction } = this.#lane.recipient.settings;
    this.#lane.running++;
    this.#context = context;
    if (timeout !== undefined) {
      const begin = () => (this.#timer = setTimeout(() => this.#tooLate(context, timeout), timeout));
      // The time to open the handler's session does not count.
      if (transaction) HandlerContext.whenCalled(context, begin);
      else begin();
    }
    promise.then(
      () => this.#finished(context, false, undefined),
      (error: unknown) => this.#finished(context, true, error),
    );
  }

  /** Takes over a delivery whose handler was called directly and threw. */
  threw(context: HandlerContext, error: unknown): void {
    this.#failed(context, error, false);
  }

  /** The subscription has ended: settles the delivery unless its handler runs or its dead letter is being written. */
  drop(): void {
    if (this.#context === undefined && !this.#writingLetter) this.#settle();
  }

  /** The history is lost. A running handler may finish, but moves no position. Returns whether the delivery was dropped. */
  discard(reason: unknown): boolean {
    this.#discarded = true;
    if (this.#context === undefined) {
      this.#settle();
      return true;
    }
    if (this.#lane.recipient.settings.transaction) HandlerContext.abort(this.#context, reason);
    return false;
  }

  abort(reason: unknown): void {
    if (this.#context) HandlerContext.abort(this.#context, reason);
  }

  /** Clears the timer of an attempt that will not start. `unattended`: also the timeout of a running one, because nothing waits for it. */
  close(unattended: boolean): void {
    if (unattended || this.#context === undefined) clearTimeout(this.#timer);
  }

  #tooLate(context: HandlerContext, timeout: number): void {
    const error = handlerTimeout(this.#lane.recipient.name, timeout);
    HandlerContext.abort(context, error);
    this.#timedOut = this.#judge(context, error, false);
  }

  /** A handler that returned a promise has finished. */
  #finished(context: HandlerContext, failed: boolean, error: unknown): void {
    const { deliverable } = this;
    clearTimeout(this.#timer);
    this.#context = undefined;
    this.#lane.running--;
    this.#lane.host.ended();
    const timedOut = this.#timedOut;
    this.#timedOut = undefined;
    if (this.#discarded || deliverable.outdated) this.#redelivered();
    else if (timedOut) this.#follow(timedOut);
    // It may have failed because we aborted it. onError could say 'skip', but the event must be delivered again.
    else if (failed && this.#lane.aborted) return;
    else if (failed) this.#failed(context, error, false);
    // Its changes were incomplete and it was told so: the attempt has failed, even if the handler ignored that error.
    else if (deliverable.failure !== undefined) this.#failed(context, deliverable.failure, false);
    else this.#settle();
    this.#lane.run();
  }

  /** The event is delivered again. While the watch closes it must not settle: its transaction might then be acknowledged without it. */
  #redelivered(): void {
    if (!this.#lane.host.closing) this.#settle();
  }

  #failed(context: HandlerContext, error: unknown, permanent: boolean): void {
    if (error instanceof Interrupted) this.#interrupted(context, error);
    else this.#follow(this.#judge(context, error, permanent || this.deliverable.permanent === true));
    this.#lane.run();
  }

  #interrupted({ eventId }: HandlerContext, error: Interrupted): void {
    const { recipient, host } = this.#lane;
    this.error = error;
    if (!recipient.active) this.#settle();
    // Part of the transaction has been dropped from memory: only a restart delivers it again.
    else if (this.deliverable.repeatable === false)
      host.stop(handlerFailed({ subscription: recipient.name, eventId, attempt: this.attempt, error }));
    else {
      if (++this.#interruptions === 1) host.warn(error);
      this.#again(retryDelay(this.#interruptions, Math.random()));
    }
  }

  /** Decides what happens after a failure and reports it. The action 'stop' is carried out at once. */
  #judge(context: HandlerContext, error: unknown, permanent: boolean): Verdict {
    const { recipient, host } = this.#lane;
    const { deliverable, attempt } = this;
    const decided = decide(recipient.settings.onError, error, context, permanent);
    this.error = decided.error;
    // A transaction cannot become a dead letter.
    let action = decided.action === 'deadLetter' && deliverable.streamed ? 'retry' : decided.action;
    if (action === 'retry' && deliverable.repeatable === false) action = 'stop';
    const retryIn = action === 'retry' && !permanent ? retryDelay(attempt, Math.random()) : undefined;
    const { eventId } = context;
    host.failed({ recipient, eventId, attempt, error: this.error, action, retryIn, deliverable });
    const event = { subscription: recipient.name, eventId, attempt, error, sql: rowSql(deliverable) };
    if (action === 'stop') host.stop(handlerFailed(event));
    if (action === 'retry' && permanent) host.warn(heldForever(event));
    return { action, retryIn };
  }

  #follow({ action, retryIn }: Verdict): void {
    const { recipient, host } = this.#lane;
    if (action === 'deadLetter' && !host.closing) this.#bury(1);
    if (action === 'skip' || (action === 'retry' && !recipient.active)) this.#settle();
    if (action !== 'retry' || !recipient.active || retryIn === undefined) return;
    this.attempt++;
    this.#again(retryIn);
  }

  /** Keeps its records while it waits, so that nothing overtakes it, but does not count as running. */
  #again(retryIn: number): void {
    if (this.#lane.host.closing) return;
    this.#timer = setTimeout(() => {
      this.#lane.ready(this);
      this.#lane.run();
    }, retryIn);
  }

  /** Settles the delivery when its dead letter is written. Until then it is kept, and the slot does not advance. */
  #bury(writing: number): void {
    const { recipient, host } = this.#lane;
    const { deliverable, attempt, error } = this;
    this.#writingLetter = true;
    host.bury({ recipient, deliverable, attempts: attempt, error }).then(
      () => {
        this.#settle();
        this.#lane.run();
      },
      () => {
        if (host.closing || this.#discarded) return;
        this.#timer = setTimeout(() => this.#bury(writing + 1), retryDelay(writing, Math.random()));
      },
    );
  }

  /** The attempts can exceed the limit only if earlier processes ended during an attempt. */
  #startedTooOften(): WatchError | undefined {
    const { name, settings } = this.#lane.recipient;
    const { onError } = settings;
    if (typeof onError !== 'object' || this.attempt <= onError.attempts) return undefined;
    this.attempt = onError.attempts;
    const { eventId } = this.deliverable.change;
    return neverFinished({ subscription: name, eventId, attempt: this.attempt, sql: rowSql(this.deliverable) });
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#lane.settled(this);
  }
}
