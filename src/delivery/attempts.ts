import type { WatchError } from '../errors.ts';
import type { ErrorAction } from '../types/delivery.ts';
import { HandlerContext } from './context.ts';
import type { Deliverable } from './deliverable.ts';
import { handlerFailed, heldForever, neverFinished } from './failures.ts';
import { Interrupted } from './interrupted.ts';
import type { Dead, Failure, Obstacle, Recipient } from './recipient.ts';
import { decide, retryDelay } from './retry.ts';
import { rowSql } from './row-sql.ts';
import { isThenable } from './thenable.ts';
import { handlerTimeout } from './timeout.ts';

/** What attempts need of the watch. */
export interface AttemptsHost {
  /** No handler is called any more. */
  readonly closing: boolean;
  started(): void;
  ended(): void;
  /** Calls its handler. */
  call(recipient: Recipient, deliverable: Deliverable, context: HandlerContext): unknown;
  /** 1, unless processes before this one ended in the middle of it. */
  firstAttempt(recipient: Recipient, deliverable: Deliverable): number;
  failed(failure: Failure): void;
  warn(warning: WatchError): void;
  /** Keeps what its handler could not handle. */
  bury(dead: Dead): Promise<void>;
  /** Ends the watch. */
  stop(error: WatchError): void;
}

/** What attempts need of their lane. */
export interface AttemptsLane {
  readonly recipient: Recipient;
  readonly host: AttemptsHost;
  /** The signals of the handlers that run are aborted, because the watch ends. */
  readonly aborted: boolean;
  /** Handlers that run and were not done at once. */
  running: number;
  /** Its next attempt may be made. */
  ready(delivery: Delivery): void;
  settled(delivery: Delivery): void;
  run(): void;
}

/** What follows on a failure. */
interface Verdict {
  readonly action: ErrorAction;
  /** Milliseconds. Undefined: there is no further attempt. */
  readonly retryIn: number | undefined;
}

/** Deliveries from one barrier to the next, the first barrier included. */
export interface DeliveryGroup {
  /** How many have not settled. */
  open: number;
  /** The barrier that waits for them. */
  next: Delivery | undefined;
}

/**
 * Something on its way to one subscription, unless its handler was done at once: one attempt after the other, until it is
 * handled, skipped, or a dead letter. A failure is one of three:
 * - the handler's: it uses up an attempt, and `onError` says what follows;
 * - permanent, because no attempt can succeed: what `onError` says in the end follows at once;
 * - an interruption, for which the handler is not to blame: the same attempt is made again.
 */
export class Delivery {
  readonly deliverable: Deliverable;
  /** Its lane's. */
  group: DeliveryGroup | undefined = undefined;
  readonly records: readonly string[];
  /** Milliseconds since 1970. */
  readonly since = Date.now();
  /** How many earlier deliveries of the same records have not settled. */
  blockedBy = 0;
  /** Those that wait for this one. */
  waiters: Delivery[] | undefined = undefined;
  attempt: number;
  error: unknown = undefined;
  readonly #lane: AttemptsLane;
  readonly #obstacle: Obstacle;
  /** Of the attempt that is on its way; undefined between attempts. */
  #context: HandlerContext | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** What follows on the attempt that took too long, once it has settled. */
  #timedOut: Verdict | undefined = undefined;
  #interruptions = 0;
  /** Its dead letter is on its way: it is kept until that is written, whatever becomes of the subscription. */
  #burying = false;
  /** It belongs to a history that the server does not continue. */
  #abandoned = false;

  constructor(lane: AttemptsLane, deliverable: Deliverable, obstacle: Obstacle, records: readonly string[]) {
    this.#lane = lane;
    this.deliverable = deliverable;
    this.#obstacle = obstacle;
    this.records = records;
    this.attempt = lane.host.firstAttempt(lane.recipient, deliverable);
  }

  /** Makes an attempt. */
  begin(): void {
    const { deliverable } = this;
    const { host, recipient } = this.#lane;
    if (deliverable.outdated) {
      this.#comesAgain();
      return;
    }
    const obstacle = this.#obstacle ?? this.#startedTooOften();
    const context = deliverable.context(this.attempt);
    if (obstacle !== undefined) {
      this.#failed(context, obstacle, true);
      return;
    }
    host.started();
    this.#context = context; // it runs from now on, though its subscription may end meanwhile
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

  /** Waits for a handler that has not finished at once. */
  watch(context: HandlerContext, result: PromiseLike<unknown>): void {
    const promise = Promise.resolve(result); // what only looks like a promise may throw, or call back at once
    const { timeout, transaction } = this.#lane.recipient.settings;
    this.#lane.running++;
    this.#context = context;
    if (timeout !== undefined) {
      const begin = () => (this.#timer = setTimeout(() => this.#tooLate(context, timeout), timeout));
      // The time that it takes to open the handler's session is not the handler's.
      if (transaction) HandlerContext.whenCalled(context, begin);
      else begin();
    }
    promise.then(
      () => this.#finished(context, false, undefined),
      (error: unknown) => this.#finished(context, true, error),
    );
  }

  /** Takes over a handler that was called at once and threw. */
  threw(context: HandlerContext, error: unknown): void {
    this.#failed(context, error, false);
  }

  /** The subscription has ended: what is not on its way is not delivered any more. */
  drop(): void {
    if (this.#context === undefined && !this.#burying) this.#settle();
  }

  /** Its history is lost: nothing follows on it any more. A handler that runs may finish, but moves no position. Returns whether it was dropped. */
  abandon(reason: unknown): boolean {
    this.#abandoned = true;
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

  /** Forgets the timer of an attempt that will not be made, and of one that runs when nobody waits for it any more. */
  close(unattended: boolean): void {
    if (unattended || this.#context === undefined) clearTimeout(this.#timer);
  }

  #tooLate(context: HandlerContext, timeout: number): void {
    const error = handlerTimeout(this.#lane.recipient.name, timeout);
    HandlerContext.abort(context, error);
    this.#timedOut = this.#judge(context, error, false);
  }

  /** A handler that was waited for has finished. */
  #finished(context: HandlerContext, failed: boolean, error: unknown): void {
    const { deliverable } = this;
    clearTimeout(this.#timer);
    this.#context = undefined;
    this.#lane.running--;
    this.#lane.host.ended();
    const timedOut = this.#timedOut;
    this.#timedOut = undefined;
    if (this.#abandoned || deliverable.outdated) this.#comesAgain();
    else if (timedOut) this.#follow(timedOut);
    // What fails because we end it has not failed: onError may say to skip it, but it must come again.
    else if (failed && this.#lane.aborted) return;
    else if (failed) this.#failed(context, error, false);
    // It was told that it did not get everything: it has failed, though it made nothing of that.
    else if (deliverable.failure !== undefined) this.#failed(context, deliverable.failure, false);
    else this.#settle();
    this.#lane.run();
  }

  /** While we end it must not settle: the rest of its transaction may have come without it. */
  #comesAgain(): void {
    if (!this.#lane.host.closing) this.#settle();
  }

  #failed(context: HandlerContext, error: unknown, permanent: boolean): void {
    if (error instanceof Interrupted) this.#interrupted(context, error);
    else this.#follow(this.#judge(context, error, permanent || this.deliverable.hopeless === true));
    this.#lane.run();
  }

  #interrupted({ eventId }: HandlerContext, error: Interrupted): void {
    const { recipient, host } = this.#lane;
    this.error = error;
    if (!recipient.active) this.#settle();
    // A part of it is gone from memory: only a restart brings it back.
    else if (this.deliverable.repeatable === false)
      host.stop(handlerFailed({ subscription: recipient.name, eventId, attempt: this.attempt, error }));
    else {
      if (++this.#interruptions === 1) host.warn(error);
      this.#again(retryDelay(this.#interruptions, Math.random()));
    }
  }

  /** Decides what follows on a failure, and tells. A stop is carried out at once. */
  #judge(context: HandlerContext, error: unknown, permanent: boolean): Verdict {
    const { recipient, host } = this.#lane;
    const { deliverable, attempt } = this;
    const decided = decide(recipient.settings.onError, error, context, permanent);
    this.error = decided.error;
    // A transaction has no letter.
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

  /** It keeps its records, so that nothing overtakes it, but not its place among those that run. */
  #again(retryIn: number): void {
    if (this.#lane.host.closing) return;
    this.#timer = setTimeout(() => {
      this.#lane.ready(this);
      this.#lane.run();
    }, retryIn);
  }

  /** Settles it once its letter is written; until then it is kept, and the slot with it. */
  #bury(writing: number): void {
    const { recipient, host } = this.#lane;
    const { deliverable, attempt, error } = this;
    this.#burying = true;
    host.bury({ recipient, deliverable, attempts: attempt, error }).then(
      () => {
        this.#settle();
        this.#lane.run();
      },
      () => {
        if (host.closing || this.#abandoned) return;
        this.#timer = setTimeout(() => this.#bury(writing + 1), retryDelay(writing, Math.random()));
      },
    );
  }

  /** Only what was begun by processes that ended in the middle of it has more attempts than allowed. */
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
