/**
 * `npm run bench -- [A B … N] [--rounds 5] [--scale 1] [--node 24] [--write]`: measures walwatch against its alternatives,
 * and prints tables; with --write also into bench/README.md, which describes the workloads.
 */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchDistance } from './distance.ts';
import { benchBacklog } from './drain.ts';
import { benchExisting } from './existing.ts';
import { benchGrowth } from './growth.ts';
import { type Link, missingForLink, openLink } from './link/link.ts';
import { benchLatency, benchLiveInserts, benchWriters } from './live.ts';
import type { Table } from './measure.ts';
import { benchNodes, nodeProgram } from './nodes.ts';
import { benchOutage } from './outage.ts';
import { writeReport } from './report.ts';
import { benchManySubscriptions, benchSlowHandlers } from './scale.ts';
import { type BenchServer, findProgram, openServer, openServerBehind } from './server.ts';

/** Tables, or why they are missing. */
type Result = Table | readonly Table[] | string;
type Bench = (server: BenchServer, rounds: number, scale: number) => Promise<Result>;
type BenchOverLink = (server: BenchServer, link: Link, rounds: number, scale: number) => Promise<Result>;

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
  J: overLink('J', benchDistance),
  K: overLink('K', benchOutage),
  L: benchGrowth,
  M: benchNodes,
  N: benchExisting,
};

/** With a separate server, behind the link. */
function overLink(name: string, bench: BenchOverLink): Bench {
  return async (_, rounds, scale) => {
    const missing = await missingForLink();
    if (missing !== undefined) return `${name} was left out, which needs a link with delay: ${missing}`;
    await using link = await openLink();
    await using server = await openServerBehind(link, node);
    return await bench(server, link, rounds, scale);
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1' },
    node: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});
const unknown = positionals.filter((name) => !(name in benches));
if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; known: ${Object.keys(benches).join(', ')}`);
if (!findProgram('pg_recvlogical'))
  console.log("There is no pg_recvlogical to compare with (Debian's package postgresql has it).");

/** The Node that runs the contestants. */
const node = values.node === undefined ? process.execPath : await nodeProgram(values.node);
await using server = await openServer(node);
const results: Table[] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(benches)) {
  const result = await benches[name]!(server, Number(values.rounds), Number(values.scale));
  if (typeof result === 'string') {
    console.log(result);
    continue;
  }
  for (const table of [result].flat() as Table[]) {
    results.push(table);
    console.log(`\n${table.title}`);
    console.table(table.rows);
  }
}
const machine = `${cpus().length} cores, ${cpus()[0]!.model.trim()}`;
const nodeVersion = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
const heading = `PostgreSQL ${server.version}, Node ${nodeVersion}, ${process.platform}, ${machine}`;
console.log(heading);
if (values.write) await writeReport(heading, Number(values.rounds), Number(values.scale), results);
