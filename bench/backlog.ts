/**
 * How fast a backlog is drained: `npm run bench`, or `npm run bench -- <rows>`. On BENCH_DATABASE_URL (a superuser's), else
 * on an embedded PostgreSQL of its own. Prints rows per second, client CPU and memory; the table and slot are dropped again.
 */
import pg from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { startCluster } from '../test/support/cluster.ts';

const rows = Number(process.argv[2] ?? 300_000);
const slot = 'walwatch_bench';
const watchers = defineWatchers<{ walwatch_bench: { id: number; role_id: number } }>()([
  ['walwatch_bench', 'inserted', { extraColumns: ['role_id'] }],
]);

async function drain(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query('create table walwatch_bench (id int primary key, role_id int, a text, b text, c text, d text)');
  try {
    // The slot is made before the backlog, by a watch that hears none of it.
    const first = createWatch({ connection: url, slot, watchers });
    await first.start();
    await first.stop();
    for (let from = 1; from <= rows; from += 1000) {
      const values = `n, n % 100, repeat('a', 80), repeat('b', 80), repeat('c', 80), repeat('d', 80)`;
      await client.query(`insert into walwatch_bench select ${values} from generate_series($1::int, $2::int) n`, [
        from,
        Math.min(from + 999, rows),
      ]);
    }

    const watch = createWatch({ connection: url, slot, watchers });
    let received = 0;
    let associated = 0;
    const all = new Promise<void>((resolve) => {
      watch.subscribe('walwatch_bench:inserted', () => {
        if (++received === rows) resolve();
      });
    });
    watch.subscribe('walwatch_bench:inserted', { role_id: 7 }, () => void associated++);
    const cpu = process.cpuUsage();
    const begin = performance.now();
    await watch.start();
    await all;
    const seconds = (performance.now() - begin) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    await watch.stop();
    console.table([
      {
        rows: received,
        'of one association': associated,
        'rows/s': Math.round(rows / seconds),
        'client CPU s': Number(((user + system) / 1e6).toFixed(2)),
        'RSS MB': Math.round(process.memoryUsage().rss / 1e6),
      },
    ]);
  } finally {
    await client.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '${slot}'`,
    );
    await client.query(`drop publication if exists ${slot}`);
    await client.query('drop table walwatch_bench');
    await client.end();
  }
}

const given = process.env['BENCH_DATABASE_URL'];
if (given) await drain(given);
else {
  await using cluster = await startCluster({ settings: { shared_buffers: '256MB', max_wal_size: '4GB' } });
  await drain(cluster.url);
}
