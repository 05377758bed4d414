/** examples/opentelemetry, as a separate process: the compiled program (`npm run compile`). And its tracing.ts, in this process. */
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { StorageContextManager, traceWalwatch } from '../../examples/opentelemetry/tracing.ts';
import { defineWatchers } from '../../src/index.ts';
import { useDatabase } from '../support/database.ts';
import { runExample } from '../support/example.ts';
import { until } from '../support/until.ts';
import { watchOn } from '../support/watching.ts';

const db = useDatabase();
beforeAll(async () => {
  await db.sql('create table orders (id int generated always as identity primary key)');
});

const annotate = (annotations: object) =>
  `select pg_logical_emit_message(true, 'walwatch:annotations', '${JSON.stringify(annotations)}')`;

interface PrintedSpan {
  readonly name: string;
  readonly id: string;
  readonly parent: string | undefined;
  readonly text: string;
}

/** The output of ConsoleSpanExporter: objects as util.inspect writes them. */
function spansIn(output: string): PrintedSpan[] {
  return output
    .split(/^\{$/m)
    .slice(1)
    .map((text) => ({
      name: /^ {2}name: '(.*)',$/m.exec(text)![1]!,
      id: /^ {2}id: '(\w+)',$/m.exec(text)![1]!,
      parent: /parentSpanContext: \{[^}]*spanId: '(\w+)'/.exec(text)?.[1],
      text,
    }));
}

test('handlers and connections are spans, failures have their reason, and spans of a handler are children of its span', async () => {
  const worker = runExample('.build/examples/opentelemetry/main.js', [], { DATABASE_URL: db.url });
  await worker.prints(/^streaming$/m);
  await db.sql('insert into orders select from generate_series(1, 2)');
  const named = (name: string) => spansIn(worker.output).filter((span) => span.name === name);
  // The second order fails at its first attempt.
  await until(() => named('handle orders:inserted').length === 3, { describe: () => `spans:\n${worker.output}` });
  worker.process.kill('SIGTERM');
  expect(await worker.ended()).toBe(0);

  const handled = named('handle orders:inserted');
  const mails = named('send mail');
  expect(new Set(mails.map(({ parent }) => parent))).toEqual(new Set(handled.map(({ id }) => id)));
  for (const { text, parent } of handled) {
    expect(text).toContain(`'walwatch.subscription': 'mailer'`);
    expect(parent).toBeUndefined();
  }
  const failed = handled.filter(({ text }) => text.includes('the mail server is busy'));
  expect(failed).toHaveLength(1);
  expect(failed[0]!.text).toMatch(/'walwatch.attempt': 1\n[^]*status: \{ code: 2 \}/);
  expect(named(`connect ${/connect (walwatch_live_\w+)/.exec(worker.output)![1]}`)).toHaveLength(1);
});

test('the span of a batch links once to each span that made its changes, and ignores a traceparent that is not a string', async () => {
  const contextManager = new StorageContextManager();
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  provider.register({ contextManager });
  traceWalwatch(contextManager);
  onTestFinished(() => provider.shutdown());

  const watch = watchOn(db)(defineWatchers<{ orders: { id: number } }>()([['orders', 'inserted']]));
  watch.subscribe('orders:inserted', () => {}, { batch: { size: 4, wait: 60_000 } });
  await watch.start();
  const request = (digit: string) => ({ traceId: digit.repeat(32), spanId: digit.repeat(16) });
  const insertIn = (digit: string, rows: number) =>
    db.sql(
      `${annotate({ traceparent: `00-${digit.repeat(32)}-${digit.repeat(16)}-01` })};
       insert into orders select from generate_series(1, ${rows})`,
    );
  await insertIn('a', 2);
  await insertIn('b', 1);
  const unusable = annotate({ traceparent: [`00-${'c'.repeat(32)}-${'c'.repeat(16)}-01`] });
  await db.sql(`${unusable}; insert into orders default values`);
  const handled = () => exporter.getFinishedSpans().filter(({ name }) => name === 'handle orders:inserted');
  await until(() => handled().length === 1, { describe: 'the span of the batch' });
  expect(handled()[0]!.links.map(({ context }) => context)).toMatchObject([request('a'), request('b')]);
  expect(handled()[0]!.parentSpanContext).toBeUndefined();
});
