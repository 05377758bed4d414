/**
 * `node outage.js <walwatch | walwatch, heartbeat 5 s | postgres> <url>`: receives inserts into `accounts`, and prints
 * `listening`, `event <time> <id>` for each, and `unready <time>` when health() is not ready for the first time. Times are
 * nanoseconds of the machine's monotonic clock.
 */
import postgres from 'postgres';
import { createWatch } from 'walwatch';
import { withoutParameters } from '../postgres-url.ts';
import { watchersOf } from '../workloads.ts';

const [who = '', url = ''] = process.argv.slice(2);

function hear(id: number): void {
  console.log(`event ${process.hrtime.bigint()} ${id}`);
}

if (who === 'postgres') {
  const sql = postgres(...withoutParameters(url, { publications: 'walwatch_bench', onnotice: () => {} }));
  await sql.subscribe('insert:accounts', (row) => hear(row!['id'] as number));
} else {
  const watch = createWatch({
    connection: url,
    slot: 'walwatch_bench',
    watchers: watchersOf('accounts', 'inserted'),
    ...(who === 'walwatch' ? {} : { heartbeat: 5000 }),
  });
  watch.on('error', () => {}); // it reconnects or ends, without us
  watch.subscribe('changed', ({ id }) => hear(id as number));
  await watch.start();
  let ready = true;
  setInterval(() => {
    if (ready && !watch.health().ready) console.log(`unready ${process.hrtime.bigint()}`);
    ({ ready } = watch.health());
  }, 50);
}
console.log('listening');
