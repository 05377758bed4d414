/** Sends a signed webhook for every change, retries, and keeps failed ones as dead letters. `main.js replay` sends those again. */
import { createWatch, defineWatchers, type DeliveryContext, type ErrorAction } from 'walwatch';
import { interrupted, openDatabase } from '../database.ts';
import { receiver } from './receiver.ts';
import { type DB, tables } from './schema.ts';
import { Refused, sender } from './sender.ts';

const secret = process.env['WEBHOOK_SECRET'] ?? 'only for this example';

await using database = await openDatabase(tables);

// Without WEBHOOK_URL the example starts a receiver.
const ownReceiver = process.env['WEBHOOK_URL']
  ? undefined
  : receiver(secret, (event, id) => {
      console.log('received', id, JSON.stringify(event));
      return 204;
    });
const url = process.env['WEBHOOK_URL'] ?? (await ownReceiver!.listen({ host: '127.0.0.1', port: 0 }));

const watchers = defineWatchers<DB>()([
  ['example.invoices', 'inserted', { label: 'invoice_created', extraColumns: ['customer'] }],
  [
    'example.invoices',
    'updated',
    { label: 'invoice_state_changed', triggerColumns: ['state'], extraColumns: ['state'] },
  ],
]);

const watch = createWatch({ connection: database.url, slot: 'example_webhooks', watchers });

/** While an event is retried, later events of its invoice wait, and the slot keeps WAL. So give up after six attempts. */
const onError = (error: unknown, { attempt }: DeliveryContext): ErrorAction =>
  (error instanceof Refused && error.isFinal) || attempt >= 6 ? 'deadLetter' : 'retry';

// One subscription, so that the webhooks of an invoice are sent in commit order.
watch.subscribe(['invoice_created', 'invoice_state_changed'], sender(url, secret), {
  name: 'webhooks', // dead letters are kept under this name
  onError,
  concurrency: 16,
  timeout: 10_000,
});

watch.on('handlerFailed', ({ eventId, attempt, error, action }) =>
  console.log('failed', eventId, 'attempt', attempt, String(error), '→', action),
);

if (process.argv[2] === 'replay') {
  console.log('replayed', await watch.deadLetters.replay());
} else {
  watch.on('connected', () => console.log(`sending to ${url}`));
  void watch.start();
  await Promise.race([watch.closed, interrupted]);
}
await watch.stop();
await ownReceiver?.close();
