/**
 * `npm run bench -- [A B … I] [--rounds 5] [--scale 1] [--write]`: measures walwatch against what else there is, and prints
 * tables; with --write also into bench/README.md, which says what the workloads are.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchBacklog } from './drain.ts';
import { benchLatency, benchLiveInserts, benchWriters } from './live.ts';
import type { Table } from './measure.ts';
import { writeReport } from './report.ts';
import { benchManySubscriptions, benchSlowHandlers } from './scale.ts';
import { type BenchServer, findProgram, openServer } from './server.ts';

type Bench = (server: BenchServer, rounds: number, scale: number) => Promise<Table | string>;

const benches: Readonly<Record<string, Bench>> = {
  A: (...given) => benchBacklog('A', ...given),
  B: (...given) => benchBacklog('B', ...given),
  C: (...given) => benchBacklog('C', ...given),
  D: (...given) => benchBacklog('D', ...given),
  E: benchLiveInserts,
  F: benchLatency,
  G: benchWriters,
  H: benchManySubscriptions,
  I: benchSlowHandlers,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const unknown = positionals.filter((name) => !(name in benches));
if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known: ${Object.keys(benches).join(', ')}`);
if (!findProgram('pg_recvlogical'))
  console.log("There is no pg_recvlogical to compare with (Debian's package postgresql has it).");

await using server = await openServer();
const results: Table[] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(benches)) {
  const result = await benches[name]!(server, Number(values.rounds), Number(values.scale));
  if (typeof result === 'string') console.log(result);
  else {
    results.push(result);
    console.log(`\n${result.title}`);
    console.table(result.rows);
  }
}
const machine = `${cpus().length} cores, ${cpus()[0]!.model.trim()}`;
const heading = `PostgreSQL ${server.version}, Node ${process.version}, ${process.platform}, ${machine}`;
console.log(heading);
if (values.write) await writeReport(heading, Number(values.rounds), Number(values.scale), results);
