import { type ReadableSpan, SimpleSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-node';

/** Prints each span as a line, with its trace and its parent. In production: BatchSpanProcessor and an OTLP exporter. */
const printer: SpanExporter = {
  export(spans: ReadableSpan[], done) {
    for (const span of spans) {
      const { traceId, spanId } = span.spanContext();
      console.log('span', traceId, span.parentSpanContext?.spanId ?? '-'.repeat(16), '→', spanId, span.name);
    }
    done({ code: 0 });
  },
  shutdown: async () => {},
};

export const printSpans = new SimpleSpanProcessor(printer);
