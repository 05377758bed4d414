/** A worker to be killed: counts the rows of `sales` in `totals`, exactly. `node counter.js <url> <slot>` */
import { createWatch, defineWatchers } from 'walwatch';

const [connection = '', slot = ''] = process.argv.slice(2);
const watch = createWatch({ connection, slot, watchers: defineWatchers([['sales', 'inserted']]) });
watch.subscribe(
  'sales:inserted',
  (_, { client }) =>
    client.query(`insert into totals values ('killed', 1) on conflict (name) do update set count = totals.count + 1`),
  { transaction: true, name: 'counter' },
);
process.once('SIGTERM', () => void watch.stop());
await watch.start();
