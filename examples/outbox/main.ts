/** An API that takes orders, and a worker that sends their mails. `main.js api` and `main.js worker` run only one of them. */
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { StorageContextManager, traceWalwatch } from '../opentelemetry/tracing.ts';
import { api } from './api.ts';
import { mailProvider } from './mail-provider.ts';
import { mailer } from './mailer.ts';
import { outbox } from './messages.ts';
import { type DB, tables } from './schema.ts';
import { printSpans } from './spans.ts';

const role = process.argv[2];
await using database = await openDatabase(tables);

const contextManager = new StorageContextManager();
const tracing = new NodeTracerProvider({ spanProcessors: [printSpans] });
tracing.register({ contextManager });
traceWalwatch(contextManager);

async function runApi(): Promise<void> {
  const db = new Kysely<DB>({
    dialect: new PostgresDialect({ pool: new Pool({ connectionString: database.url }) }),
  });
  const app = api(db);
  console.log(`orders: ${await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })}`);
  await interrupted;
  await app.close();
  await db.destroy();
}

async function runWorker(): Promise<void> {
  // Without MAIL_URL the example starts a provider.
  const ownProvider = process.env['MAIL_URL']
    ? undefined
    : mailProvider(({ mail, repeated }) => console.log(repeated ? 'repeated' : 'mail', mail.to, mail.subject));
  const providerUrl = process.env['MAIL_URL'] ?? (await ownProvider!.listen({ host: '127.0.0.1', port: 0 }));

  // Messages do not come from a table, so the list of watchers is empty.
  const watch = createWatch({ connection: database.url, slot: 'example_outbox', watchers: defineWatchers([]) });
  watch.onMessage(outbox.message('order.placed'), mailer(providerUrl), {
    name: 'order mails', // dead letters are kept under this name
    concurrency: 8,
    timeout: 10_000,
    onError: { attempts: 10, then: 'deadLetter' },
  });
  watch.on('connected', () => console.log('sending mails'));
  void watch.start();
  await Promise.race([watch.closed, interrupted]);
  await watch.stop();
  await ownProvider?.close();
}

await Promise.all([role === 'worker' ? undefined : runApi(), role === 'api' ? undefined : runWorker()]);
await tracing.shutdown();
