import type { ChangeSource } from '../changes/stage.ts';
import type { Dispatcher } from '../delivery/dispatcher.ts';
import type { WatchError } from '../errors.ts';
import type { Reporter } from '../observe/reporter.ts';
import type { ChangeIterator } from '../routing/change-iterator.ts';
import { Iterators } from '../routing/iterators.ts';
import type { Router } from '../routing/router.ts';
import type { Subscriptions } from '../routing/subscriptions.ts';
import type { Supervisor } from '../stream/supervisor.ts';
import type { Subscription } from '../types/delivery.ts';
import type { WatchStatus } from '../types/events.ts';
import type { Watcher } from '../watchers/validate.ts';
import type { Lifecycle } from './lifecycle.ts';
import { refusedStart, stopped } from './outcome.ts';
import { expectNoStart, expectStart, neverStarted } from './unstarted.ts';

/** The parts of a watch, for any source. */
export interface WatchParts {
  readonly watchers: readonly Watcher[];
  readonly lifecycle: Lifecycle;
  readonly reporter: Reporter;
  readonly source: ChangeSource;
  readonly supervisor: Supervisor;
  readonly router: Router;
  readonly dispatcher: Dispatcher;
  readonly subscriptions: Subscriptions;
  readonly classify: (cause: unknown) => WatchError;
  /** Milliseconds that `stop()` waits for running handlers. */
  readonly stopTimeout: number;
  /** Closes other resources when no more handlers are called. */
  readonly release?: () => Promise<void>;
}

/** Milliseconds in which the other side should confirm the end of the stream. */
const endTimeout = 2000;

/** The common part of all watches: subscribing, lifecycle and status. */
export class WatchCore {
  readonly #parts: WatchParts;
  readonly #iterators: Iterators;
  #ending: Promise<void> | undefined;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#iterators = new Iterators(parts.lifecycle.outcome.over);
    expectStart(parts.reporter);
  }

  subscribe(watcher: string | readonly string[], ...rest: readonly unknown[]): Subscription {
    this.refuseWhenOver();
    const { subscriptions } = this.#parts;
    const subscription = subscriptions.subscribe(watcher, rest);
    this.#debugAll(watcher, () => `subscribing: ${subscription.name}`);
    return subscription;
  }

  unsubscribe(watcher: string | readonly string[], ...rest: readonly unknown[]): boolean {
    const ended = this.#parts.subscriptions.unsubscribe(watcher, rest);
    this.#debugAll(watcher, () => `unsubscribing ${ended}: ${[watcher].flat().join(', ')}`);
    return ended > 0;
  }

  events(watcher: string | readonly string[], ...rest: readonly unknown[]): ChangeIterator {
    this.refuseWhenOver();
    return this.#iterators.open((handler) => this.#parts.subscriptions.iterate(watcher, rest, handler));
  }

  start(): Promise<void> {
    const { lifecycle, reporter, watchers, supervisor, classify } = this.#parts;
    if (this.#ending) return this.#refuseStart();
    if (lifecycle.state === 'idle') {
      expectNoStart(reporter);
      lifecycle.connecting();
      reporter.log.info({ watchers: watchers.map(({ name }) => name) }, 'starting');
      for (const watcher of watchers) this.debug(watcher, () => `starting: ${watcher.name}`);
      supervisor.run().catch((error: unknown) => this.fail(classify(error)));
    }
    return lifecycle.outcome.started;
  }

  /** A refused start must not end a process that is shutting down with an unhandled rejection, but must not be silent either. */
  #refuseStart(): Promise<void> {
    const { lifecycle, reporter } = this.#parts;
    const error = lifecycle.state === 'failed' ? lifecycle.error! : stopped();
    const refused = refusedStart(error);
    setImmediate(() => {
      if (!refused.isAwaited) reporter.warn(error);
    });
    return refused;
  }

  stop(): Promise<void> {
    if (expectNoStart(this.#parts.reporter)) this.#parts.reporter.warn(neverStarted());
    return (this.#ending ??= this.#shutDown('stopping').then(() => {
      this.#parts.lifecycle.stopped();
      this.over(stopped());
    }));
  }

  get closed(): Promise<void> {
    return this.#parts.lifecycle.outcome.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Ends the watch with an error. */
  fail(error: WatchError): void {
    if (this.#ending) return;
    const { lifecycle } = this.#parts;
    this.#ending = this.#shutDown('failed').then(() => lifecycle.failed(error));
    lifecycle.failing(error);
    this.over(error);
  }

  status(): WatchStatus {
    const { lifecycle, router, dispatcher } = this.#parts;
    const { lastEventAt, running } = dispatcher;
    return {
      state: lifecycle.state,
      subscriptions: router.subscriptions,
      running,
      lastEventAt: lastEventAt === 0 ? undefined : new Date(lastEventAt),
      error: lifecycle.error,
    };
  }

  protected refuseWhenOver(): void {
    if (this.#ending) throw stopped();
  }

  #debugAll(watcher: string | readonly string[], message: () => string): void {
    for (const name of [watcher].flat()) this.debug(this.#parts.subscriptions.route(name).watcher, message);
  }

  /** Logs a step of a watcher with `debug`. */
  protected debug({ debug, name, type, table, extraColumns, triggerColumns }: Watcher, message: () => string): void {
    if (!debug) return;
    const fields = { watcher: name, type, schema: table.schema, table: table.name, extraColumns, triggerColumns };
    this.#parts.reporter.log.debug(fields, message());
  }

  /** The watch has ended: waiting callers such as `caughtUp()` are rejected. */
  protected over(_reason: WatchError): void {}

  async #shutDown(state: 'stopping' | 'failed'): Promise<void> {
    const { lifecycle, supervisor, source, dispatcher, router, subscriptions, stopTimeout, reporter } = this.#parts;
    lifecycle.ending(state);
    supervisor.stop();
    source.end();
    const handled = dispatcher.close(stopTimeout, stopped());
    router.transactions.cancel(stopped()); // the rest of a partly received transaction will not be read
    await handled;
    await Promise.all([subscriptions.close(), this.#parts.release?.()]);
    await source.close(endTimeout).catch((error: unknown) => {
      reporter.log.warn({ err: error }, 'closing the connection failed');
    });
  }
}
