/**
 * The cost of browsers for one process: `node .build/bench/sse.js [idle] [busy]`, 10,000 idle and 1,000 busy ones by default, on
 * BENCH_DATABASE_URL (a superuser's), else on an embedded PostgreSQL. Idle ones subscribe to one id each, busy
 * ones to all rows. Prints the server's memory, and the time from the INSERT statement to the client.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createWatch, defineWatchers } from 'walwatch';
import { sse, toNodeHandler } from 'walwatch/sse';
import { startCluster } from '../test/support/cluster.ts';

const slot = 'walwatch_bench_sse';
const watchers = defineWatchers<{ walwatch_bench_sse: { id: number; sent: number; name: string } }>()([
  ['walwatch_bench_sse', 'inserted', { extraColumns: ['sent', 'name'] }],
  ['walwatch_bench_sse', 'updated', { extraColumns: ['sent', 'name'] }],
]);
const now = () => performance.timeOrigin + performance.now();

/** The measured process. */
async function serve(url: string): Promise<void> {
  const watch = createWatch({ connection: url, slot: { name: slot, temporary: true }, watchers });
  const server = createServer(toNodeHandler(sse(watch, { authorize: () => true })));
  await watch.start();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.on('message', () => {
    (globalThis as { gc?: () => void }).gc!();
    const { user, system } = process.cpuUsage();
    process.send!({ ...process.memoryUsage(), cpu: (user + system) / 1e6 });
  });
  process.send!({ port: (server.address() as AddressInfo).port });
  await once(process, 'disconnect');
  server.closeAllConnections();
  server.close();
  await watch.stop();
}

interface Usage extends NodeJS.MemoryUsage {
  /** Seconds. */
  readonly cpu: number;
}

/** Counts the events, and measures their delay. */
class Readers {
  readonly latencies: number[] = [];
  received = 0;
  readonly #sockets: Socket[] = [];

  async open(port: number, count: number, wanted: (n: number) => unknown): Promise<void> {
    for (let n = 0; n < count; n += 100) {
      const some = Array.from({ length: Math.min(100, count - n) }, (_, index) => this.#open(port, wanted(n + index)));
      await Promise.all(some);
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #open(port: number, wanted: unknown): Promise<void> {
    const socket = connect(port, '127.0.0.1');
    this.#sockets.push(socket);
    const query = encodeURIComponent(JSON.stringify([wanted]));
    socket.write(`GET /?watch=${query} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.on('data', (chunk) => {
        const text = chunk.toString('latin1');
        for (const [, sent] of text.matchAll(/"sent":([\d.]+)/g)) {
          this.received++;
          this.latencies.push(now() - Number(sent));
        }
        if (text.includes('event: position')) resolve();
      });
    });
  }
}

async function measure(url: string, idle: number, busy: number): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query('create table walwatch_bench_sse (id int primary key, sent float8, name text)');
  await client.query(`insert into walwatch_bench_sse select n, 0, 'row' from generate_series(1, $1::int) n`, [idle]);
  const child = fork(fileURLToPath(import.meta.url), ['serve', url], { execArgv: ['--expose-gc'] });
  const exited = once(child, 'exit');
  const usage = async (): Promise<Usage> => {
    child.send('measure');
    const [answer] = await once(child, 'message');
    return answer as Usage;
  };
  const readers = new Readers();
  try {
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    const empty = await usage();
    const table: Record<string, unknown>[] = [];
    const report = async (clients: string, count: number, more: object = {}) => {
      const { rss, heapUsed } = await usage();
      const each = (bytes: number) => Number((bytes / 1024 / count).toFixed(1));
      table.push({
        clients, 'RSS MB': Math.round(rss / 1e6), 'heap MB': Math.round(heapUsed / 1e6),
        'RSS kB each': each(rss - empty.rss), 'heap kB each': each(heapUsed - empty.heapUsed), ...more,
      }); // prettier-ignore
    };
    /** Commits that many a second, one statement each, and waits until all matching clients have received them. */
    const write = async (
      statement: string,
      values: (n: number) => unknown[],
      rate: number,
      seconds: number,
      each: number,
    ) => {
      readers.latencies.length = readers.received = 0;
      const before = await usage();
      const begin = performance.now();
      for (let n = 0; n < rate * seconds; n++) {
        await delay(Math.max(0, begin + (n * 1000) / rate - performance.now()));
        await client.query(statement, [now(), ...values(n)]);
      }
      while (readers.received < rate * seconds * each) await delay(5);
      const took = (performance.now() - begin) / 1000;
      const sorted = Float64Array.from(readers.latencies).toSorted();
      const at = (part: number) => Number(sorted[Math.floor((sorted.length - 1) * part)]!.toFixed(2));
      const { cpu } = await usage();
      return {
        'messages/s': Math.round(readers.received / took), 'p50 ms': at(0.5), 'p99 ms': at(0.99), 'max ms': at(1),
        'CPU %': Math.round(((cpu - before.cpu) / took) * 100),
      }; // prettier-ignore
    };

    await readers.open(port, idle, (n) => ['walwatch_bench_sse:updated', n + 1]);
    const update = 'update walwatch_bench_sse set sent = $1 where id = $2';
    const one = (n: number) => [1 + ((n * 7919) % idle)];
    await report(`${idle} idle, 100 changes/s for one of them each`, idle, await write(update, one, 100, 5, 1));

    await readers.open(port, busy, () => ['walwatch_bench_sse:inserted']);
    const insert = `insert into walwatch_bench_sse values ($2, $1, repeat('x', 100))`;
    let id = 1_000_000;
    for (const rate of [5, 10, 20]) {
      const written = await write(insert, () => [id++], rate, 5, busy);
      await report(`and ${busy} busy, ${rate} changes/s for each`, idle + busy, written);
    }
    console.table(table);
  } finally {
    readers.close();
    child.disconnect();
    await exited;
    await client.query('drop table walwatch_bench_sse');
    await client.query(`drop publication if exists ${slot}`);
    await client.end();
  }
}

if (process.argv[2] === 'serve') await serve(process.argv[3]!);
else {
  const [idle = 10_000, busy = 1_000] = process.argv.slice(2).map(Number);
  const given = process.env['BENCH_DATABASE_URL'];
  if (given) await measure(given, idle, busy);
  else {
    await using cluster = await startCluster();
    await measure(cluster.url, idle, busy);
  }
}
