/** J: a distant server. Everything is measured over a link with delay, and once with loss. */
import { writeBacklog } from './backlog.ts';
import { drainInTurns, mainReaders } from './drain.ts';
import type { Distance, Link } from './link/link.ts';
import { latencyOf } from './live.ts';
import { median, type Row, runProgram, type Table } from './measure.ts';
import { named } from './route.ts';
import type { BenchServer } from './server.ts';
import { recreateTables } from './workloads.ts';

const shortest: Distance = { roundTrip: 0.5 };
const distances: readonly Distance[] = [
  shortest,
  { roundTrip: 5 },
  { roundTrip: 30 },
  { roundTrip: 5, loss: 0.5 },
  { roundTrip: 30, loss: 0.5 },
];

export async function benchDistance(server: BenchServer, link: Link, rounds: number, scale: number): Promise<Table[]> {
  return [
    await drains(server, link, rounds, scale),
    await latency(server, link, rounds, scale),
    await starts(server, link, rounds),
  ];
}

/** J1: a fifth of A, and less with packet loss, where no TCP is fast. */
async function drains(server: BenchServer, link: Link, rounds: number, scale: number): Promise<Table> {
  const rows: Row[] = [];
  for (const lossy of [false, true]) {
    const count = Math.round((lossy ? 40_000 : 200_000) * scale);
    await using backlog = await writeBacklog('A', server, count);
    const contestants = server.routes.flatMap((route) => mainReaders(backlog, route));
    for (const distance of distances.filter(({ loss }) => (loss !== undefined) === lossy)) {
      await link.set(distance);
      const found = await drainInTurns(`J1, ${told(distance)},`, backlog, contestants, rounds);
      rows.push(...found.map((row) => ({ link: told(distance), rows: count, ...row })));
    }
  }
  return { title: 'J1: draining a backlog like that of A over a link', rows };
}

/** J2: F at a distance, 1,000 commits a second. */
async function latency(server: BenchServer, link: Link, rounds: number, scale: number): Promise<Table> {
  const listeners = server.routes
    .filter(({ label }) => label === '')
    .flatMap((route) => ['walwatch', 'walwatch-immediate', 'postgres'].map((who) => ({ who, route })));
  const rows: Row[] = [];
  for (const distance of distances) {
    await link.set(distance);
    const found = await latencyOf(server, listeners, Math.round(5000 * scale), 1000, rounds);
    for (const [{ who, route }, { p50, p99 }] of found)
      rows.push({
        link: told(distance),
        contestant: named(who, route),
        'p50 ms': Number(p50.toFixed(2)),
        'p99 ms': Number(p99.toFixed(2)),
      });
  }
  return { title: 'J2: from the commit’s answer to the handler over a link, 1,000 commits a second', rows };
}

interface Start {
  /** Milliseconds. */
  readonly first: number;
  readonly ordinary: number;
}

/** J3: from start() until it streams: with slot and publication to create, and with both in place. */
async function starts(server: BenchServer, link: Link, rounds: number): Promise<Table> {
  await recreateTables(server.client);
  const rows: Row[] = [];
  for (const route of server.routes) {
    let least: Start | undefined;
    for (const distance of distances.filter(({ loss }) => loss === undefined)) {
      await link.set(distance);
      const found: Start[] = [];
      for (let round = 0; round < rounds; round++) {
        const { lines } = await runProgram('starting', [route.url, 'walwatch_bench_start'], server.client, { route });
        found.push(JSON.parse(lines.at(-1)!) as Start);
        await server.client.query(`select pg_drop_replication_slot('walwatch_bench_start')`);
        await server.client.query('drop publication walwatch_bench_start');
      }
      const [first, ordinary] = [median(found.map((one) => one.first)), median(found.map((one) => one.ordinary))];
      least ??= { first, ordinary };
      /** By how much longer it takes than over the shortest link. */
      const roundTrips = (more: number) =>
        distance === shortest ? '' : Number((more / (distance.roundTrip - shortest.roundTrip)).toFixed(1));
      rows.push({
        link: told(distance),
        contestant: named('walwatch', route),
        'ordinary start ms': Math.round(ordinary),
        'round trips': roundTrips(ordinary - least.ordinary),
        'first start ms': Math.round(first),
        'its round trips': roundTrips(first - least.first),
      });
    }
  }
  return { title: 'J3: from start() until it streams, over a link', rows };
}

function told({ roundTrip, loss }: Distance): string {
  return `${roundTrip} ms${loss === undefined ? '' : `, ${loss} % lost`}`;
}
