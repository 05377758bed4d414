/**
 * `node writer.js <url> <count> <per second> <table> <first id>`: this many inserts into a table like `accounts`, each in a separate transaction, at this rate
 * (0: as fast as one connection can). Prints when each commit was answered: a JSON array of [id, nanoseconds of the machine's clock].
 */
import pg from 'pg';
import { account } from '../workloads.ts';

const [url = '', count = '', rate = '', table = '', firstId = ''] = process.argv.slice(2);
const client = new pg.Client(url);
await client.connect();
const insert = {
  name: 'insert',
  text: `insert into ${table} select ${account} from generate_series($1::int, $1::int) n`,
};
const clock = new Int32Array(new SharedArrayBuffer(4));
const answered: (readonly [number, string])[] = [];
const begin = performance.now();
for (let number = 0; number < Number(count); number++) {
  const id = Number(firstId) + number;
  const due = rate === '0' ? 0 : begin + (number * 1000) / Number(rate);
  // Timers are too coarse for a thousand a second, and a loop would take a core from the contestants.
  const early = due - performance.now();
  if (early > 0) Atomics.wait(clock, 0, 0, early);
  await client.query({ ...insert, values: [id] });
  answered.push([id, String(process.hrtime.bigint())]);
}
await client.end();
console.log(JSON.stringify(answered));
