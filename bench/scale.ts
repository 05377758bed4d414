/** H and I: many subscriptions, and slow handlers. */
import { median, runProgram, type Table } from './measure.ts';
import type { BenchServer } from './server.ts';
import { account, recreateTables } from './workloads.ts';

async function subscribers(
  server: BenchServer,
  mode: 'ids' | 'slow',
  size: number,
  events: number,
): Promise<Record<string, number>> {
  const route = server.routes[0]!;
  const args = [mode, route.url, String(size), String(events)];
  const { lines } = await runProgram('subscribers', args, server.client, { route });
  return JSON.parse(lines.at(-1)!) as Record<string, number>;
}

async function fill(server: BenchServer, rows: number): Promise<void> {
  await recreateTables(server.client);
  await server.client.query(`insert into accounts select ${account} from generate_series(1, ${rows}) n`);
}

/** H: subscriptions by id with one handler. Every event matches one of them. */
export async function benchManySubscriptions(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const sizes = [1000, Math.round(1_000_000 * scale)] as const;
  const runs = new Map<number, Record<string, number>[]>(sizes.map((size) => [size, []]));
  await fill(server, 1000);
  for (let round = 0; round < rounds; round++)
    for (const size of sizes) {
      // The same thousand rows again and again, so that both sizes do the same work.
      runs.get(size)!.push(await subscribers(server, 'ids', size, 400_000));
    }
  return {
    title: 'H: subscriptions by id with one handler',
    rows: sizes.map((size) => ({
      subscriptions: size,
      'bytes each': median(runs.get(size)!.map((one) => one['bytes']!)),
      'µs an event': Number(median(runs.get(size)!.map((one) => one['time']!)).toFixed(1)),
      'µs CPU an event': Number(median(runs.get(size)!.map((one) => one['cpu']!)).toFixed(1)),
    })),
  };
}

/** I: a handler that takes 1 ms, on different records. */
export async function benchSlowHandlers(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const events = { 1: 1000, 16: 10_000, 256: 200_000 } as const;
  const rates = new Map<number, number[]>([1, 16, 256].map((concurrency) => [concurrency, []]));
  await fill(server, 200_000);
  for (let round = 0; round < rounds; round++)
    for (const concurrency of [1, 16, 256] as const) {
      const { rate } = await subscribers(server, 'slow', concurrency, Math.round(events[concurrency] * scale));
      rates.get(concurrency)!.push(rate!);
    }
  const alone = median(rates.get(1)!);
  return {
    title: 'I: handlers that take 1 ms, on different records',
    rows: [...rates].map(([concurrency, all]) => ({
      concurrency,
      'events/s': Math.round(median(all)),
      times: Number((median(all) / alone).toFixed(1)),
    })),
  };
}
