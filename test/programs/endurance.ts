/**
 * Long work in little memory, to be started with --expose-gc and a small --max-old-space-size:
 * `node endurance.js <url> <slot> rows <count>`: handles so many inserts into `bulk`, asynchronously.
 * `node endurance.js <url> <slot> subscriptions <count>`: so many subscriptions by id, and one event.
 * `node endurance.js <url> <slot> values <count>`: inserts so many values of 100 MB one after another, and handles them.
 * `node endurance.js <url> <slot> unwanted <megabytes>`: receives messages, rows and values of that size that nobody wants.
 * `node endurance.js <url> <slot> oversized <bytes>`: handles a value of that size.
 * `node endurance.js <url> <slot> churn <rounds>`: subscribes and unsubscribes ten thousand times, and reconnects so often.
 * Prints one JSON line with what it measured.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createWatch, defineWatchers } from 'walwatch';

const [connection = '', slot = '', mode = '', amount = ''] = process.argv.slice(2);
const count = Number(amount);
const watchers = defineWatchers<{ bulk: { id: number; note: string } }>()([
  ['bulk', 'inserted', { extraColumns: ['note'] }],
  ['bulk', 'updated'],
]);
const watch = createWatch({ connection, slot, watchers });
watch.on('error', (error) => console.error(error));

const heap = () => {
  globalThis.gc!();
  return process.memoryUsage().heapUsed;
};
const report = (line: object) => console.log(JSON.stringify(line));

async function rows(): Promise<void> {
  let handled = 0;
  let most = 0;
  const all = new Promise<void>((resolve) => {
    watch.subscribe('bulk:inserted', async () => {
      if (handled % 1000 === 0) await new Promise(setImmediate);
      if (handled % 50_000 === 0) most = Math.max(most, process.memoryUsage().heapUsed);
      if (++handled === count) resolve();
    });
  });
  await watch.start();
  report({ started: true });
  await all;
  report({ handled, mostHeap: most });
}

async function subscriptions(): Promise<void> {
  const heard: number[] = [];
  const handler = ({ id }: { id: number }) => void heard.push(id);
  const before = heap();
  for (let id = 0; id < count; id++) watch.subscribe('bulk:updated', id, handler);
  const bytes = (heap() - before) / count;
  await watch.start();
  const client = new pg.Client(connection);
  await client.connect();
  await client.query(`insert into bulk values (${count - 1}, 'x'), (${count + 1}, 'y')`);
  await client.query(`update bulk set note = 'z'`);
  await client.end();
  while (heard.length === 0) await new Promise(setImmediate);
  report({ heard, bytes });
}

async function values(): Promise<void> {
  const bytes = 100_000_000;
  let handled: (length: number) => void = () => {};
  watch.subscribe('bulk:inserted', ({ note }) => handled(note.length));
  await watch.start();
  const client = new pg.Client(connection);
  await client.connect();
  // In the heap, or in the buffers beside it.
  const kept = () => {
    globalThis.gc!();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const lines: { readonly length: number; readonly used: number }[] = [];
  for (let id = 1; id <= count; id++) {
    const length = new Promise<number>((resolve) => (handled = resolve));
    await client.query(`insert into bulk values ($1, repeat('x', $2))`, [id, bytes]);
    const heard = await length;
    while (watch.status().undeliveredBytes > 0) await new Promise(setImmediate);
    lines.push({ length: heard, used: kept() });
  }
  for (const line of lines) report(line);
  await client.end();
}

/** Only ids of updated rows are wanted. */
async function unwanted(): Promise<void> {
  const small = createWatch({ connection, slot, watchers: defineWatchers([['bulk', 'updated']]) });
  const heard = new Promise<unknown>((resolve) => small.subscribe('bulk:updated', ({ id }) => resolve(id)));
  await small.start();
  const client = new pg.Client(connection);
  await client.connect();
  const before = process.memoryUsage().rss;
  for (const transactional of [true, false])
    await client.query(`select pg_logical_emit_message($1, 'nobody', repeat('x', $2))`, [transactional, count * 1e6]);
  await client.query(`insert into bulk values (1, repeat('x', $1))`, [count * 1e6]);
  await client.query('update bulk set id = 2');
  report({ heard: await heard, grown: process.resourceUsage().maxRSS * 1024 - before });
  await client.end();
  await small.stop();
}

async function oversized(): Promise<void> {
  const heard = new Promise<object>((resolve) =>
    watch.subscribe('bulk:inserted', (event, { absent }) => {
      try {
        resolve({ id: event.id, length: event.note.length, absent });
      } catch (error) {
        const { code, message } = error as Error & { code: string };
        resolve({ id: event.id, absent, code, message });
      }
    }),
  );
  await watch.start();
  const client = new pg.Client(connection);
  await client.connect();
  await client.query(`insert into bulk values (1, repeat('x', $1))`, [count]);
  await client.end();
  report({ ...(await heard), state: watch.status().state });
}

async function churn(): Promise<void> {
  await watch.start();
  const client = new pg.Client(connection);
  await client.connect();
  const resources = () => process.getActiveResourcesInfo().length;
  const once = async (reconnects: number) => {
    for (let round = 0; round < 10_000; round++) {
      const controller = new AbortController();
      watch.subscribe('bulk:updated', round, () => {}, { signal: controller.signal });
      const other = watch.subscribe('bulk:inserted', { note: String(round) }, () => {});
      controller.abort();
      other.unsubscribe();
    }
    for (let round = 0; round < reconnects; round++) {
      const connected = new Promise<void>((resolve) => {
        const off = watch.on('connected', () => {
          off();
          resolve();
        });
      });
      await client.query('select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1', [
        slot,
      ]);
      await connected;
      // A connection that has acknowledged something has proved itself: the next delay is short again.
      const acknowledged = new Promise<void>((resolve) => {
        const off = watch.on('acknowledged', () => {
          off();
          resolve();
        });
      });
      await client.query('insert into bulk select coalesce(max(id), 0) + 1 from bulk');
      await acknowledged;
    }
  };
  await once(10); // what is made once is made
  const before = { heap: heap(), resources: resources() };
  await once(count);
  // A timer of the last acknowledgement may still be running out.
  for (let rest = 100; rest > 0 && resources() > before.resources; rest--) await delay(50);
  report({
    subscriptions: watch.status().subscriptions,
    growth: heap() - before.heap,
    resources: resources() - before.resources,
  });
  await client.end();
}

const modes = { rows, subscriptions, values, unwanted, oversized, churn };
await modes[mode as keyof typeof modes]();
await watch.stop();
