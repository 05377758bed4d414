/**
 * `node walwatch.js <url> <slot> <publication> <table> <inserted|updated> <rows> <end LSN>`: drains a backlog through the
 * public API: one subscription to all rows, 1,000 to single ones, one to an association. Ends once the slot is at the end.
 */
import { compareLsn, createWatch } from 'walwatch';
import { watchersOf } from '../workloads.ts';

const [url = '', slot = '', publication = '', table = '', type = '', rows = '', end = ''] = process.argv.slice(2);
const name = 'changed';
const watch = createWatch({
  connection: url,
  slot,
  publication,
  watchers: watchersOf(table, type as 'inserted' | 'updated'),
  manage: 'verify',
});
watch.on('error', (error) => {
  console.error(error);
  process.exit(1);
});

let all = 0;
let single = 0;
let associated = 0;
watch.subscribe(name, () => void all++);
for (let id = 1; id <= 1000; id++) {
  if (type === 'updated') watch.subscribe(name, id, () => void single++);
  // 'inserted' cannot be subscribed to by id.
  else watch.subscribe(name, { role_id: id }, () => void single++);
}
watch.subscribe(name, { role_id: 7 }, () => void associated++);

const acknowledged = new Promise<void>((resolve) => {
  watch.on('acknowledged', ({ lsn }) => {
    if (compareLsn(lsn, end) >= 0) resolve();
  });
});
const used = process.cpuUsage();
const begin = performance.now();
await watch.start();
await acknowledged;
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(used);
await watch.stop();
if (all !== Number(rows) || associated === 0 || single === 0) {
  console.error(`of ${rows} rows ${all} were received, ${single} by id, ${associated} by association`);
  process.exit(1);
}
console.log(JSON.stringify({ rows: all, seconds, cpu: (user + system) / 1e6 }));
