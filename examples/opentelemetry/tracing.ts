/** Creates a span for each attempt of a handler, in the trace of the transaction that made the change. Works in any application: copy it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { tracingChannel } from 'node:diagnostics_channel';
import {
  type Context, type ContextManager, context, type Link, propagation, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, type TextMapGetter, trace,
} from '@opentelemetry/api'; // prettier-ignore
import type { Annotations, ConnectionTrace, DeliveryContext, HandlerTrace } from 'walwatch';

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

  follow(tracingChannel<Context, HandlerTrace>('walwatch:handler'), storage, ({ slot, watcher, subscription, context: about }) => {
    // A batch has changes of several traces: it links to them. Otherwise the span is a child of the one that made the change.
    const { contexts } = about as DeliveryContext & { readonly contexts?: readonly DeliveryContext[] };
    const links = contexts ? linksTo(contexts) : [];
    return tracer.startSpan(`handle ${watcher}`, {
      kind: SpanKind.CONSUMER,
      links,
      attributes: {
        'messaging.system': 'postgresql',
        'messaging.destination.name': watcher,
        'messaging.message.id': about.eventId,
        'walwatch.slot': slot,
        'walwatch.subscription': subscription,
        'walwatch.attempt': about.attempt,
      },
    }, contexts ? ROOT_CONTEXT : traceOf(about.annotations));
  }); // prettier-ignore

  follow(tracingChannel<Context, ConnectionTrace>('walwatch:connection'), storage, ({ slot, connects }) =>
    tracer.startSpan(`connect ${slot}`, { kind: SpanKind.CLIENT, attributes: { 'walwatch.slot': slot, 'walwatch.connects': connects } }),
  ); // prettier-ignore
}

/** The current trace as annotations: `await outbox.annotate(trx, currentTrace())`. */
export function currentTrace(): Annotations {
  const annotations: Record<string, string> = {};
  propagation.inject(context.active(), annotations);
  return annotations;
}

/** Every role that may connect can write annotations with any value. Propagators expect strings, as in headers. */
const onlyStrings: TextMapGetter<Annotations> = {
  keys: Object.keys,
  get(annotations, key) {
    const value = annotations[key];
    return typeof value === 'string' ? value : undefined;
  },
};

/** The trace that is in the annotations of a change. */
function traceOf(annotations: Annotations): Context {
  return propagation.extract(ROOT_CONTEXT, annotations, onlyStrings);
}

/** Links to the spans that made the changes of a batch, once for each span. */
function linksTo(contexts: readonly DeliveryContext[]): Link[] {
  const spans = contexts.map(({ annotations }) => trace.getSpanContext(traceOf(annotations)));
  const bySpan = new Map(spans.map((span) => [span && `${span.traceId}/${span.spanId}`, span]));
  return [...bySpan.values()].flatMap((span) => (span ? [{ context: span }] : []));
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
