/**
 * `node existing-live.js <url> <nothing|1 ms>`: reads the existing rows of the table `existing_bigint` and receives
 * inserts into it and into `accounts`. Prints `ready` once it streams. When its input ends, it prints when each event came
 * that came while rows were read: [id, nanoseconds of the machine's monotonic clock], and how many rows were read a second.
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { createWatch, defineWatchers } from 'walwatch';

const [url = '', handler = ''] = process.argv.slice(2);
const heard: (readonly [number, string])[] = [];
const extraColumns = ['role_id', 'email', 'name', 'bio', 'active', 'created_at', 'updated_at'];
const watch = createWatch({
  connection: url,
  slot: 'walwatch_bench',
  watchers: defineWatchers([
    ['existing_bigint', 'inserted', { label: 'rows', extraColumns }],
    ['accounts', 'inserted', { label: 'others', extraColumns }],
  ]),
});
watch.on('error', fail);
let rows = 0;
let last = 0;
const hear = handler === 'nothing' ? take : async (...given: Parameters<typeof take>) => (take(...given), delay(1));

const { existing } = watch.subscribe('rows', hear, { name: 'bench', existing: 'v1' });
watch.subscribe('others', hear);

function take({ id }: { id?: unknown }, context: { readonly existing: boolean }): void {
  if (context.existing) {
    rows++;
    last = performance.now();
  } else if (existing.state !== 'done') heard.push([Number(id), String(process.hrtime.bigint())]);
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

process.stdin.resume();
const ended = once(process.stdin, 'end');
await watch.start();
const begin = performance.now();
console.log('ready');
await ended;
const line = JSON.stringify({ heard, rate: rows / ((last - begin) / 1000) });
process.stdout.write(`${line}\n`, () => process.exit(0));
