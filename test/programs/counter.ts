/**
 * A worker to be killed: counts the rows of `sales` in `totals`, exactly, by events, batches or transactions.
 * `node counter.js <url> <slot> events|batches|transactions`
 */
import type { Client } from 'pg';
import { createWatch, defineWatchers } from 'walwatch';

const [connection = '', slot = '', what = ''] = process.argv.slice(2);
const watch = createWatch({ connection, slot, watchers: defineWatchers([['sales', 'inserted']]) });
const options = { transaction: true, name: 'counter' } as const;
const count = (client: Client, rows: number) =>
  client.query(
    `insert into totals values ('killed', $1) on conflict (name) do update set count = totals.count + excluded.count`,
    [rows],
  );
if (what === 'events') watch.subscribe('sales:inserted', (_, { client }) => count(client, 1), options);
if (what === 'batches') {
  watch.subscribe('sales:inserted', (events, { client }) => count(client, events.length), {
    ...options,
    batch: { size: 20, wait: 2 },
  });
}
if (what === 'transactions') {
  watch.onTransaction(async (transaction, { client }) => count(client, (await transaction.toArray()).length), options);
}
process.once('SIGTERM', () => void watch.stop());
await watch.start();
