/** A worker that prints a span for each handler call to the console. */
import { trace } from '@opentelemetry/api';
import { ConsoleSpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { createWatch, defineWatchers } from 'walwatch';
import { StorageContextManager, traceWalwatch } from './tracing.ts';

const contextManager = new StorageContextManager();
// In production: BatchSpanProcessor and an OTLP exporter.
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] });
provider.register({ contextManager });
traceWalwatch(contextManager);

const watchers = defineWatchers<{ orders: { id: number } }>()([['orders', 'inserted']]);
const watch = createWatch({ slot: { temporary: true }, watchers }); // connects to DATABASE_URL

watch.subscribe('orders:inserted', async ({ id }, { attempt }) => {
  // An instrumented library does the same: its span is a child of the handler's span.
  await trace.getTracer('example').startActiveSpan('send mail', async (span) => {
    await Promise.resolve();
    span.end();
  });
  if (attempt === 1 && id % 2 === 0) throw new Error('the mail server is busy');
}, { name: 'mailer' }); // prettier-ignore

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void watch.stop());
watch.on('connected', () => console.log('streaming'));
void watch.start();
try {
  await watch.closed;
} finally {
  await provider.shutdown();
}
