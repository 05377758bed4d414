/** A to D: draining a backlog, the contestants taking turns. */
import { type Drained, type Reader, writeBacklog } from './backlog.ts';
import { median, rotated, type Table } from './measure.ts';
import { named, type Route } from './route.ts';
import type { BenchServer } from './server.ts';
import { backlogs, type BacklogName } from './workloads.ts';

interface Contestant {
  readonly reader: Reader;
  readonly route: Route;
}

/** Everybody reads over TCP; over TLS and a Unix socket those who matter most. */
const everywhere: readonly Reader[] = ['pg_recvlogical', 'walwatch'];

export async function benchBacklog(
  workload: BacklogName,
  server: BenchServer,
  rounds: number,
  scale: number,
): Promise<Table> {
  const rows = Math.round(backlogs[workload].rows * scale);
  await using backlog = await writeBacklog(workload, server, rows);
  const [ordinary, ...others] = server.routes;
  const routes = others.filter(({ label }) => label === 'TLS' || workload === 'A' || workload === 'B');
  const contestants = [
    ...backlog.readers.map((reader) => ({ reader, route: ordinary! })),
    ...routes.flatMap((route) =>
      backlog.readers.filter((reader) => everywhere.includes(reader)).map((reader) => ({ reader, route })),
    ),
  ].filter(
    ({ reader, route }) =>
      !process.env['BENCH_ONLY'] || new RegExp(process.env['BENCH_ONLY']).test(named(reader, route)),
  );

  const runs = new Map<Contestant, Drained[]>(contestants.map((contestant) => [contestant, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contestant of rotated(contestants, round)) {
      const { reader, route } = contestant;
      const measured = await backlog.drain(reader, route);
      const name = named(reader, route);
      if (!measured.moved && /^(walwatch|pg_recvlogical)/.test(name))
        throw new Error(`${name} has not moved its slot to the end`);
      runs.get(contestant)!.push(measured);
      process.stderr.write(`${workload} round ${round + 1}: ${name} ${measured.drained.toFixed(2)} s\n`);
    }
  }

  const medianOf = (contestant: Contestant, value: (one: Drained) => number) =>
    median(runs.get(contestant)!.map(value));
  /** Against the first contestant of the same route: pg_recvlogical, where it is there. */
  const baseOf = ({ route }: Contestant) => contestants.find((one) => one.route === route)!;
  return {
    title: `${workload}: ${rows} ${backlogs[workload].what}`,
    rows: contestants.map((contestant) => {
      const { reader, route } = contestant;
      const seconds = medianOf(contestant, (one) => one.drained);
      const base = medianOf(baseOf(contestant), (one) => one.drained);
      const all = runs.get(contestant)!;
      return {
        contestant: named(reader, route),
        [`time, ${contestants[0]!.reader} = 1`]: Number((seconds / base).toFixed(2)),
        seconds: Number(seconds.toFixed(2)),
        'client CPU s': Number(medianOf(contestant, (one) => one.client.cpu).toFixed(2)),
        'walsender CPU s': all.every((one) => one.walsender)
          ? Number(medianOf(contestant, (one) => one.walsender!.cpu).toFixed(2))
          : '',
        'slot at the end': all.every((one) => one.moved) ? 'yes' : 'no',
        'peak RSS MB': Math.round(medianOf(contestant, (one) => one.client.rss) / 1e6),
      };
    }),
  };
}
