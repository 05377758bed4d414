/** A to D: draining a backlog, with the contestants in turn. */
import { type Drained, type Reader, writeBacklog, type WrittenBacklog } from './backlog.ts';
import { median, rotated, type Row, type Table } from './measure.ts';
import { named, type Route } from './route.ts';
import type { BenchServer } from './server.ts';
import { backlogs, type BacklogName } from './workloads.ts';

export interface Contestant {
  readonly reader: Reader;
  readonly route: Route;
}

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
    ...routes.flatMap((route) => mainReaders(backlog, route)),
  ];
  return {
    title: `${workload}: ${rows} ${backlogs[workload].what}`,
    rows: await drainInTurns(workload, backlog, contestants, rounds),
  };
}

/** The contestants that run over every route. */
export function mainReaders({ readers }: WrittenBacklog, route: Route): Contestant[] {
  const main: readonly Reader[] = ['pg_recvlogical', 'walwatch'];
  return readers.filter((reader) => main.includes(reader)).map((reader) => ({ reader, route }));
}

/** A row for each contestant; `BENCH_ONLY` is a pattern that selects them. Times are relative to the first one with the same URL. */
export async function drainInTurns(
  label: string,
  backlog: WrittenBacklog,
  all: readonly Contestant[],
  rounds: number,
): Promise<Row[]> {
  const only = new RegExp(process.env['BENCH_ONLY'] ?? '');
  const contestants = all.filter(({ reader, route }) => only.test(named(reader, route)));
  const runs = new Map<Contestant, Drained[]>(contestants.map((contestant) => [contestant, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contestant of rotated(contestants, round)) {
      const { reader, route } = contestant;
      const measured = await backlog.drain(reader, route);
      const name = named(reader, route);
      if (!measured.moved && /^(walwatch|pg_recvlogical)/.test(name))
        throw new Error(`${name} has not moved its slot to the end`);
      runs.get(contestant)!.push(measured);
      process.stderr.write(`${label} round ${round + 1}: ${name} ${measured.drained.toFixed(2)} s\n`);
    }
  }

  const medianOf = (contestant: Contestant, value: (one: Drained) => number) =>
    median(runs.get(contestant)!.map(value));
  const baseOf = ({ route }: Contestant) => contestants.find((one) => one.route.url === route.url)!;
  return contestants.map((contestant) => {
    const { reader, route } = contestant;
    const seconds = medianOf(contestant, (one) => one.drained);
    const base = medianOf(baseOf(contestant), (one) => one.drained);
    const measured = runs.get(contestant)!;
    return {
      contestant: named(reader, route),
      [`time, ${contestants[0]!.reader} = 1`]: Number((seconds / base).toFixed(2)),
      seconds: Number(seconds.toFixed(2)),
      'client CPU s': Number(medianOf(contestant, (one) => one.client.cpu).toFixed(2)),
      'walsender CPU s': measured.every((one) => one.walsender)
        ? Number(medianOf(contestant, (one) => one.walsender!.cpu).toFixed(2))
        : '',
      'slot at the end': measured.every((one) => one.moved) ? 'yes' : 'no',
      'peak RSS MB': Math.round(medianOf(contestant, (one) => one.client.rss) / 1e6),
    };
  });
}
