import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import { isThenable } from './thenable.ts';
import type { DeliveryContext } from '../types/delivery.ts';

/**
 * What the tracing channel `walwatch:handler` tells of each attempt of a handler: the same object at `start`, `end`,
 * `asyncStart`, `asyncEnd` and `error`. The last three are for handlers that returned a promise, and for those that failed.
 *
 * @example
 * ```ts
 * import { tracingChannel } from 'node:diagnostics_channel';
 * tracingChannel<HandlerTrace>('walwatch:handler').subscribe({ …, error: ({ subscription, error }) => console.error(subscription, error) });
 * ```
 */
export interface HandlerTrace {
  readonly slot: string;
  /** The watcher's name; `message:prefix` for messages. */
  readonly watcher: string;
  readonly subscription: string;
  /** The handler's first argument. */
  readonly event: unknown;
  /** Its second. */
  readonly context: DeliveryContext;
  /** At `end`: whether the handler goes on, so that `asyncEnd` follows. */
  pending: boolean;
  /** Why it failed, from `error` on. */
  error?: unknown;
}

/**
 * What the tracing channel `walwatch:connection` tells of each attempt to connect. It begins with `start` and ends with
 * `asyncEnd`: once changes are streaming, or when the attempt has failed or was given up. A worker that stands by is still attempting.
 *
 * @example
 * ```ts
 * import { channel } from 'node:diagnostics_channel';
 * channel('tracing:walwatch:connection:error').subscribe((message) => console.error((message as ConnectionTrace).error));
 * ```
 */
export interface ConnectionTrace {
  readonly slot: string;
  /** How often it has been streaming before. */
  readonly connects: number;
  /** Why it failed, from `error` on. */
  error?: unknown;
}

/** Around each attempt of a handler. */
export const handlerChannel = tracingChannel<HandlerTrace, HandlerTrace>('walwatch:handler');
const connectionChannel = tracingChannel<ConnectionTrace, ConnectionTrace>('walwatch:connection');

/** Calls a handler and tells of it. Unlike `tracePromise` it leaves one that is done at once as it is. */
export function traceHandler(trace: HandlerTrace, call: () => unknown): unknown {
  const { start, end } = handlerChannel;
  return start.runStores(trace, () => {
    try {
      const result = call();
      if (!isThenable(result)) return result;
      trace.pending = true;
      // Asked for its result once: what looks like a promise may begin its work at each `then`.
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

/** One attempt to connect. Costs nothing unless somebody listens when it begins. */
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

  /** It is streaming, or was given up. */
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
