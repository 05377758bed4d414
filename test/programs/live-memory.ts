/**
 * What `sse()` keeps in memory, in a process of its own: `live-memory history|readers <text> <bytes of a row>`. Prints the
 * megabytes that the heap and buffers have grown by, at most.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Watch } from 'walwatch';
import { sse } from 'walwatch/sse';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const [what, text = 'x', size = '1000'] = process.argv.slice(2);

async function used(): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve)); // what is freed in the next turn
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

/** What `sse()` uses of a watch; the events are made up here. */
let deliver: (event: object, context: object) => void = () => {};
const watch = {
  subscribe: (_: string, handler: typeof deliver) => (deliver = handler),
  details: (watcher: string) => ({
    watcher, type: 'updated', table: 'users', primaryKey: ['id'], extraColumns: ['name', 'role_id'],
  }),
  status: () => ({ state: 'streaming' }),
  on: () => () => {},
  closed: new Promise(() => {}),
} as unknown as Watch<any>; // prettier-ignore
const handler = sse(watch, { authorize: () => true, replay: what === 'history' ? 1_000_000 : 0 });
/** A client that reads once, so that it counts as one, and then no more. */
async function open(watch: readonly unknown[]): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const query = encodeURIComponent(JSON.stringify(watch));
  const response = await handler(new Request(`http://localhost/?watch=${query}`));
  const reader = response.body!.getReader();
  await reader.read();
  return reader;
}

let number = 0;
async function emit(megabytes: number, rounds: number): Promise<number> {
  let most = 0;
  const repeat = Number(size) / Buffer.byteLength(text);
  for (let round = 0; round < rounds; round++) {
    for (let bytes = 0; bytes < (megabytes / rounds) * 2 ** 20; bytes += Number(size)) {
      // Made as the decoder makes it: a string of its own, not a view of parts.
      const value = (name: string) => Buffer.from(`${name}${text.repeat(repeat)}`).toString();
      const [name, before] = [value(`${++number} `), value(`${number} was `)];
      deliver(
        { id: number, name, role_id: 7 },
        {
          watcher: 'users:updated',
          eventId: `0/${number.toString(16)}/0`,
          previous: { id: number, name: before, role_id: 7 },
          absent: [],
        },
      );
    }
    most = Math.max(most, await used());
  }
  return most;
}

const readers = [];
if (what === 'history')
  await (
    await open([
      ['users:updated', 0],
      ['users:updated', { name: 'nobody' }],
    ])
  ).cancel();
// Each with a list of subscriptions of its own, so that no two have the same messages.
else for (let n = 1; n <= 32; n++) readers.push(await open(Array.from({ length: n }, () => ['users:updated'])));
const before = await used();
// Of small rows there are many before 64 MB are full of them.
const most = what === 'history' ? await emit(Number(size) < 1000 ? 10 : 200, 10) : await emit(4, 80);
console.log(JSON.stringify({ megabytes: most - before, readers: readers.length }));
process.exit();
