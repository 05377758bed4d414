/** E, F and G: writes while others listen. */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { latencies, type Listener, withListener, write } from './listening.ts';
import { median, rotated, type Table } from './measure.ts';
import { named } from './route.ts';
import { type BenchServer, findProgram } from './server.ts';
import { account, recreateTables } from './workloads.ts';

/** All of them over TCP, and these over TLS. */
function listenersOf(server: BenchServer, all: readonly string[], overTls: readonly string[]): readonly Listener[] {
  return server.routes.flatMap((route, index) => {
    const some = index === 0 ? all : route.label === 'TLS' ? overTls : [];
    return some.map((who) => ({ who, route }));
  });
}

const everybody = ['walwatch', 'walwatch-immediate', 'pg-logical-replication', 'postgres', 'notify'];
const overTls = ['walwatch', 'walwatch-immediate', 'postgres'];

export async function benchLiveInserts(server: BenchServer, rounds: number, scale: number): Promise<Table[]> {
  return [await liveInserts(server, rounds, scale), await burst(server, rounds, scale)];
}

/** E: rows a second from the first commit to the last event. */
async function liveInserts(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const count = Math.round(20_000 * scale);
  const listeners = listenersOf(server, everybody, overTls);
  const rates = new Map<Listener, number[]>(listeners.map((listener) => [listener, []]));
  for (let round = 0; round < rounds; round++) {
    for (const listener of rotated(listeners, round)) {
      await withListener(server, listener, count, async (heard) => {
        const answered = await write(server.url, count, 0);
        const last = [...(await heard).values()].reduce((a, b) => (a > b ? a : b));
        rates.get(listener)!.push(count / (Number(last - answered.get(1)!) / 1e9));
      });
    }
  }
  return {
    title: `E: ${count} live inserts of one connection, each in its own commit`,
    rows: [...rates].map(([{ who, route }, all]) => ({
      contestant: named(who, route),
      'events/s': Math.round(median(all)),
    })),
  };
}

/** E2: more commits a second than any application makes. The delay of the listeners when they are over. */
async function burst(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const count = Math.round(100_000 * scale);
  const listeners = listenersOf(server, ['walwatch', 'pg-logical-replication', 'postgres'], ['walwatch', 'postgres']);
  const found = new Map<Listener, { readonly rate: number; readonly behind: number }[]>(
    listeners.map((listener) => [listener, []]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const listener of rotated(listeners, round)) {
      await withListener(server, listener, count, async (heard) => {
        await server.client.query('set synchronous_commit = off');
        const begin = process.hrtime.bigint();
        await server.client.query(`do $$ begin for n in 1 .. ${count} loop
          insert into accounts values (${account}); commit; end loop; end $$`);
        const end = process.hrtime.bigint();
        await server.client.query('reset synchronous_commit');
        const last = [...(await heard).values()].reduce((a, b) => (a > b ? a : b));
        const rate = count / (Number(end - begin) / 1e9);
        found.get(listener)!.push({ rate, behind: Math.max(0, Number(last - end) / 1e6) });
      });
    }
  }
  return {
    title: `E2: ${count} inserts of one procedure, each in its own commit, without waiting for the disk`,
    rows: [...found].map(([{ who, route }, all]) => ({
      contestant: named(who, route),
      'commits/s': Math.round(median(all.map(({ rate }) => rate))),
      'behind at the end, ms': Math.round(median(all.map(({ behind }) => behind))),
    })),
  };
}

export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** The medians of the rounds' percentiles: milliseconds from the writer's answer to the handler. */
export async function latencyOf(
  server: BenchServer,
  listeners: readonly Listener[],
  count: number,
  rate: number,
  rounds: number,
): Promise<ReadonlyMap<Listener, Latency>> {
  const found = new Map<Listener, Latency[]>(listeners.map((listener) => [listener, []]));
  for (let round = 0; round < rounds; round++) {
    for (const listener of rotated(listeners, round)) {
      const late = await latencies(server, listener, count, rate);
      const at = (share: number) => late[Math.floor((late.length - 1) * share)]!;
      found.get(listener)!.push({ p50: at(0.5), p99: at(0.99) });
    }
  }
  return new Map(
    [...found].map(([listener, all]) => [
      listener,
      { p50: median(all.map(({ p50 }) => p50)), p99: median(all.map(({ p99 }) => p99)) },
    ]),
  );
}

/** F */
export async function benchLatency(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const listeners = listenersOf(server, everybody, overTls);
  const rows: Record<string, string | number>[] = [];
  for (const rate of [100, 1000]) {
    const found = await latencyOf(server, listeners, Math.round(rate * 5 * scale), rate, rounds);
    for (const [{ who, route }, { p50, p99 }] of found) {
      rows.push({
        contestant: named(who, route),
        'commits/s': rate,
        'p50 ms': Number(p50.toFixed(3)),
        'p99 ms': Number(p99.toFixed(3)),
      });
    }
  }
  return { title: 'F: from the commit’s answer to the handler', rows };
}

/** G: the remaining speed of writers: pgbench, 4 clients. */
export async function benchWriters(server: BenchServer, rounds: number, scale: number): Promise<Table | string> {
  const pgbench = findProgram('pgbench');
  if (!pgbench) return 'G was skipped: pgbench is missing (apt-get install postgresql-contrib)';
  const script = join(tmpdir(), `walwatch-bench-${process.pid}.sql`);
  await writeFile(script, `insert into accounts select ${account} from nextval('accounts_id') n;\n`);
  const seconds = Math.max(2, Math.round(5 * scale));
  const pgbenchFor = async (duration: number) => {
    const child = spawn(pgbench, ['-n', '-f', script, '-c', '4', '-j', '2', '-T', String(duration), server.url], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    for await (const text of child.stdout) output += String(text);
    return Number(/tps = ([\d.]+)/.exec(output)?.[1]);
  };
  const tps = async () => {
    await server.client.query('drop sequence if exists accounts_id; create sequence accounts_id');
    await pgbenchFor(2); // until the listener is compiled
    return pgbenchFor(seconds);
  };
  const listeners = listenersOf(
    server,
    ['none', 'pg_recvlogical', 'walwatch', 'notify'],
    ['pg_recvlogical', 'walwatch'],
  ).filter(({ who }) => who !== 'pg_recvlogical' || findProgram(who));
  const rates = new Map<Listener, number[]>(listeners.map((listener) => [listener, []]));
  for (let round = 0; round < rounds; round++) {
    for (const listener of rotated(listeners, round)) {
      if (listener.who === 'none') {
        await recreateTables(server.client);
        rates.get(listener)!.push(await tps());
      } else await withListener(server, listener, -1, async () => rates.get(listener)!.push(await tps()));
    }
  }
  const alone = median(rates.get(listeners[0]!)!);
  return {
    title: 'G: commits a second of 4 writers (pgbench), with a listener',
    rows: [...rates].map(([{ who, route }, all]) => ({
      listener: named(who, route),
      'commits/s': Math.round(median(all)),
      share: Number((median(all) / alone).toFixed(2)),
    })),
  };
}
