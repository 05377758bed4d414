/**
 * `node existing.js <pg-cursor|walwatch> <url> <key> <rows>`: reads all rows of the table `existing_<key>` in the order of their
 * keys and does nothing with them. Prints seconds and CPU seconds, from the first connection to the last row.
 */
import pg from 'pg';
import Cursor from 'pg-cursor';
import { createWatch, defineWatchers } from 'walwatch';

const [who = '', url = '', key = '', rows = ''] = process.argv.slice(2);
const table = `existing_${key}`;
let count = 0;

/** Rows that are asked for at once. */
const size = 1000;

async function readWithCursor(): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  const cursor = client.query(new Cursor(`select * from ${table} order by id`));
  for (let some = await cursor.read(size); some.length > 0; some = await cursor.read(size))
    for (const _ of some) count++;
  await client.end();
}

async function readWithWalwatch(): Promise<() => Promise<void>> {
  const extraColumns = ['role_id', 'email', 'name', 'bio', 'active', 'created_at', 'updated_at'];
  const watch = createWatch({
    connection: url,
    slot: 'walwatch_bench',
    watchers: defineWatchers([[table, 'inserted', { label: 'rows', extraColumns }]]),
  });
  watch.on('error', fail);
  watch.on('warning', fail);
  const { existing } = watch.subscribe('rows', () => void count++, { name: 'bench', existing: 'v1' });
  await watch.start();
  await existing.done;
  return () => watch.stop();
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

const used = process.cpuUsage();
const begin = performance.now();
const end = await (who === 'walwatch' ? readWithWalwatch() : readWithCursor());
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(used);
await end?.();
if (count !== Number(rows)) fail(new Error(`${count} of ${rows} rows were read`));
console.log(JSON.stringify({ seconds, cpu: (user + system) / 1e6 }));
