/**
 * `node --expose-gc subscribers.js ids <url> <subscriptions> <events>`: this many subscriptions by id with one handler, and
 * updates of rows, each of which matches one of them. Prints bytes a subscription, and microseconds
 * an event: of time, and of CPU.
 * `node subscribers.js slow <url> <concurrency> <events>`: a handler that takes 1 ms. Prints events a second.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createWatch } from 'walwatch';
import { watchersOf } from '../workloads.ts';

const [mode = '', url = '', size = '', amount = ''] = process.argv.slice(2);
const events = Number(amount);
const slot = 'walwatch_bench_subscribers';
const client = new pg.Client(url);
await client.connect();

/** The changes exist before the watch reads: writing them is not measured. */
async function write(rows: number, times: number): Promise<void> {
  const first = createWatch({ connection: url, slot, watchers: watchersOf('accounts', 'updated') });
  await first.start();
  await first.stop();
  for (let time = 0; time < times; time++)
    await client.query('update accounts set role_id = role_id + 1 where id <= $1', [rows]);
}

async function ids(): Promise<object> {
  await write(1000, events / 1000);
  const watch = createWatch({ connection: url, slot, watchers: watchersOf('accounts', 'updated') });
  let heard = 0;
  let all = () => {};
  const done = new Promise<void>((resolve) => (all = resolve));
  let begin = 0;
  let cpu = process.cpuUsage();
  const handler = () => {
    if (heard++ === 0) {
      begin = performance.now();
      cpu = process.cpuUsage();
    }
    if (heard === events) all();
  };
  const heap = () => {
    globalThis.gc!();
    return process.memoryUsage().heapUsed;
  };
  const before = heap();
  for (let id = 1; id <= Number(size); id++) watch.subscribe('changed', id, handler);
  const bytes = (heap() - before) / Number(size);
  await watch.start();
  await done;
  const time = (performance.now() - begin) * 1000;
  const used = process.cpuUsage(cpu);
  await watch.stop();
  return { bytes: Math.round(bytes), time: time / events, cpu: (used.user + used.system) / events };
}

async function slow(): Promise<object> {
  await write(events, 1);
  const watch = createWatch({ connection: url, slot, watchers: watchersOf('accounts', 'updated') });
  let heard = 0;
  let all = () => {};
  const done = new Promise<void>((resolve) => (all = resolve));
  let begin = 0;
  watch.subscribe(
    'changed',
    async () => {
      if (begin === 0) begin = performance.now();
      await delay(1);
      if (++heard === events) all();
    },
    { concurrency: Number(size) },
  );
  await watch.start();
  await done;
  const seconds = (performance.now() - begin) / 1000;
  await watch.stop();
  return { rate: events / seconds };
}

const result = await (mode === 'ids' ? ids() : slow());
await client.query('select pg_drop_replication_slot($1)', [slot]);
await client.query(`drop publication ${slot}`);
await client.end();
console.log(JSON.stringify(result));
