/**
 * `node starting.js <url> <slot>`: starts twice, the first time without slot and publication. Prints the milliseconds of both,
 * from start() until the watch streams.
 */
import { createWatch } from 'walwatch';
import { watchersOf } from '../workloads.ts';

const [url = '', slot = ''] = process.argv.slice(2);

async function start(): Promise<number> {
  const watch = createWatch({ connection: url, slot, watchers: watchersOf('accounts', 'updated') });
  const begin = performance.now();
  await watch.start();
  const took = performance.now() - begin;
  await watch.stop();
  return took;
}

console.log(JSON.stringify({ first: await start(), ordinary: await start() }));
