/** Creates a span for each attempt of a handler and for each connection attempt. Works in any application: copy it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { tracingChannel } from 'node:diagnostics_channel';
import {
  type Context, type ContextManager, context, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace,
} from '@opentelemetry/api'; // prettier-ignore
import type { ConnectionTrace, HandlerTrace } from 'walwatch';

/** OpenTelemetry's own manager hides its storage. A channel needs the storage to pass spans on to handlers. */
export class StorageContextManager implements ContextManager {
  readonly storage = new AsyncLocalStorage<Context>();

  active(): Context {
    return this.storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    run: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.storage.run(active, () => run.call(thisArg, ...args));
  }

  bind<T>(active: Context, target: T): T {
    if (typeof target !== 'function') return target;
    return ((...args: unknown[]) => this.storage.run(active, () => target(...args) as unknown)) as T;
  }

  enable(): this {
    return this;
  }

  disable(): this {
    this.storage.disable();
    return this;
  }
}

/** Spans that are started in a handler, also by other instrumentations, become children of the handler's span. */
export function traceWalwatch({ storage }: StorageContextManager): void {
  const tracer = trace.getTracer('walwatch');

  follow(tracingChannel<Context, HandlerTrace>('walwatch:handler'), storage, ({ slot, watcher, subscription, context: about }) =>
    tracer.startSpan(`handle ${watcher}`, {
      root: true, // events arrive in the context of the connection, which is not a useful parent
      kind: SpanKind.CONSUMER,
      attributes: {
        'messaging.system': 'postgresql',
        'messaging.destination.name': watcher,
        'messaging.message.id': about.eventId,
        'walwatch.slot': slot,
        'walwatch.subscription': subscription,
        'walwatch.attempt': about.attempt,
      },
    }),
  ); // prettier-ignore

  follow(tracingChannel<Context, ConnectionTrace>('walwatch:connection'), storage, ({ slot, connects }) =>
    tracer.startSpan(`connect ${slot}`, { kind: SpanKind.CLIENT, attributes: { 'walwatch.slot': slot, 'walwatch.connects': connects } }),
  ); // prettier-ignore
}

/** One span from `start` to `end`, or to `asyncEnd` if the handler returned a promise. */
function follow<Message extends HandlerTrace | ConnectionTrace>(
  channel: ReturnType<typeof tracingChannel<Context, Message>>,
  storage: AsyncLocalStorage<Context>,
  startSpan: (message: Message) => Span,
): void {
  const spans = new WeakMap<Message, Span>();
  channel.start.bindStore(storage, (message) => {
    const span = startSpan(message);
    spans.set(message, span);
    return trace.setSpan(context.active(), span);
  });
  const over = (message: Message) => {
    spans.get(message)?.end();
    spans.delete(message);
  };
  channel.error.subscribe((message) => {
    const { error } = message as Message;
    const span = spans.get(message as Message);
    span?.recordException(error instanceof Error ? error : String(error));
    span?.setStatus({ code: SpanStatusCode.ERROR });
  });
  channel.asyncEnd.subscribe((message) => over(message as Message));
  channel.end.subscribe((message) => {
    if ('pending' in (message as Message) && !(message as HandlerTrace).pending) over(message as Message);
  });
}
