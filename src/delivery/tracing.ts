import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import { isThenable } from './thenable.ts';
import type { DeliveryContext } from '../types/delivery.ts';

/**
 * A message of the tracing channel `walwatch:handler`, which reports each attempt of a handler. `start`, `end`,
 * `asyncStart`, `asyncEnd` and `error` get the same object. The last three are published for handlers that returned a
 * promise, and for those that failed.
 *
 * @example
 * ```ts
 * import { tracingChannel } from 'node:diagnostics_channel';
 * tracingChannel<HandlerTrace>('walwatch:handler').subscribe({ …, error: ({ subscription, error }) => console.error(subscription, error) });
 * ```
 */
export interface HandlerTrace {
  readonly slot: string;
  /** The watcher's name. For messages: `message:` with the prefix, or with the name of an outbox message. */
  readonly watcher: string;
  readonly subscription: string;
  /** The handler's first argument. */
  readonly event: unknown;
  /** The handler's second argument. */
  readonly context: DeliveryContext;
  /** At `end`: whether the handler returned a promise, so that `asyncEnd` follows. */
  pending: boolean;
  /** The handler's error, from `error` on. */
  error?: unknown;
}

/**
 * A message of the tracing channel `walwatch:connection`, which reports each attempt to connect. An attempt begins with
 * `start` and ends with `asyncEnd`: when changes are streaming, or when the attempt failed or was given up. It also lasts
 * while the worker waits as a standby.
 *
 * @example
 * ```ts
 * import { channel } from 'node:diagnostics_channel';
 * channel('tracing:walwatch:connection:error').subscribe((message) => console.error((message as ConnectionTrace).error));
 * ```
 */
export interface ConnectionTrace {
  readonly slot: string;
  /** How many times the watch has been streaming before. */
  readonly connects: number;
  /** The attempt's error, from `error` on. */
  error?: unknown;
}

/** Traces each attempt of a handler. */
export const handlerChannel = tracingChannel<HandlerTrace, HandlerTrace>('walwatch:handler');
const connectionChannel = tracingChannel<ConnectionTrace, ConnectionTrace>('walwatch:connection');

/** Calls a handler and traces it. Unlike `tracePromise` it does not change the result of a synchronous handler. */
export function traceHandler(trace: HandlerTrace, call: () => unknown): unknown {
  const { start, end } = handlerChannel;
  return start.runStores(trace, () => {
    try {
      const result = call();
      if (!isThenable(result)) return result;
      trace.pending = true;
      // Call `then` only once: a custom thenable may start its work at each call.
      return Promise.resolve(result).then(
        (value) => {
          trace.pending = false;
          finish(handlerChannel, trace);
          return value;
        },
        (error: unknown) => {
          trace.pending = false;
          fail(handlerChannel, trace, error);
          finish(handlerChannel, trace);
          throw error;
        },
      );
    } catch (error) {
      fail(handlerChannel, trace, error);
      throw error;
    } finally {
      end.publish(trace);
    }
  });
}

/** Traces one attempt to connect. Costs nothing unless the channel has subscribers when it begins. */
export class AttemptTrace {
  readonly #classify: (cause: unknown) => unknown;
  readonly #trace: ConnectionTrace;
  #open = false;

  constructor(slot: string, connects: number, classify: (cause: unknown) => unknown) {
    this.#trace = { slot, connects };
    this.#classify = classify;
  }

  run(attempt: () => Promise<void>): Promise<void> {
    if (!connectionChannel.hasSubscribers) return attempt();
    this.#open = true;
    const { start, end } = connectionChannel;
    return start.runStores(this.#trace, () => {
      const running = attempt();
      running.then(
        () => this.over(),
        (error: unknown) => this.#failed(error),
      );
      end.publish(this.#trace);
      return running;
    });
  }

  /** The attempt is streaming, or was given up. */
  over(): void {
    if (!this.#open) return;
    this.#open = false;
    finish(connectionChannel, this.#trace);
  }

  #failed(error: unknown): void {
    if (this.#open) fail(connectionChannel, this.#trace, this.#classify(error));
    this.over();
  }
}

function fail<T extends { error?: unknown }>(channel: TracingChannel<T, T>, trace: T, error: unknown): void {
  trace.error = error;
  channel.error.publish(trace);
}

function finish<T extends object>({ asyncStart, asyncEnd }: TracingChannel<T, T>, trace: T): void {
  asyncStart.publish(trace);
  asyncEnd.publish(trace);
}
