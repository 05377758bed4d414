/** L: many of everything. With linear growth the cost of each stays the same. */
import { median, type Row, runProgram, type Table } from './measure.ts';
import type { BenchServer } from './server.ts';
import { account, recreateTables, wideRow } from './workloads.ts';

/** Seconds. A contestant that takes longer is ended, and the table shows it. */
const patience = 20;
const tooLong = `more than ${patience} s in all`;

export async function benchGrowth(server: BenchServer, rounds: number, scale: number): Promise<Table[]> {
  await recreateTables(server.client);
  await server.client.query(`insert into accounts select ${account} from generate_series(1, 1000) n`);
  await server.client.query(`insert into wide select ${wideRow} from generate_series(1, 1000) n`);
  return [
    await subscriptions(server, rounds, scale),
    await shapes(server, rounds, scale),
    await watchers(server, rounds, scale),
  ];
}

/** The medians of the numbers that contestants/growth.ts prints, line by line; without those that are missing. */
async function growth(server: BenchServer, rounds: number, ...args: readonly string[]): Promise<readonly number[]> {
  const runs: number[][] = [];
  for (let round = 0; round < rounds; round++) {
    const { lines } = await runProgram('growth', args, server.client, { route: server.routes[0]!, atMost: patience });
    runs.push(lines.map(Number));
    process.stderr.write(`L ${args.join(' ')}: ${lines.join(' ')}\n`);
    if (lines.length < runs[0]!.length) break;
  }
  const least = Math.min(...runs.map((numbers) => numbers.length));
  return Array.from({ length: least }, (_, index) => median(runs.map((numbers) => numbers[index]!)));
}

/** L1 */
async function subscriptions(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const kinds = { signal: 'by one id, on one AbortSignal', id: 'by one id', all: 'to all rows' };
  const rows: Row[] = [];
  for (const [how, kind] of Object.entries(kinds))
    for (const count of [1000, 20_000, 200_000].map((size) => Math.round(size * scale))) {
      const [made, ended] = await growth(server, rounds, 'subscribe', how, String(count));
      rows.push({ kind, subscriptions: count, 'subscribing µs each': shown(made), 'ending µs each': shown(ended) });
    }
  return { title: 'L1: subscribing, and ending it', rows };
}

/** L2 */
async function shapes(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const events = Math.round(100_000 * scale);
  const rows: Row[] = [];
  for (const count of [1, 10, 50, 200]) {
    const [each] = await growth(server, rounds, 'shapes', server.url, String(count), String(events));
    rows.push({ 'filter shapes': count, 'µs an event': shown(each) });
  }
  return { title: 'L2: filters of different columns, one subscription each, which match nothing', rows };
}

/** L3 */
async function watchers(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const events = Math.round(20_000 * scale);
  const rows: Row[] = [];
  for (const [count, each] of [
    [1, 1],
    [10, 1],
    [100, 1],
    [1, 100],
  ] as const) {
    const args = [String(count), String(each), String(events)];
    const [took] = await growth(server, rounds, 'watchers', server.url, ...args);
    rows.push({ 'watchers of the table': count, 'subscriptions each': each, 'µs a change': shown(took) });
  }
  return { title: 'L3: watchers of one table, all of which deliver', rows };
}

function shown(microseconds: number | undefined): number | string {
  return microseconds === undefined ? tooLong : Number(microseconds.toFixed(microseconds < 10 ? 2 : 1));
}
