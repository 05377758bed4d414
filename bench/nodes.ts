/** M: A on several versions of Node, and where to get them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { writeBacklog } from './backlog.ts';
import { drainInTurns, mainReaders } from './drain.ts';
import type { Table } from './measure.ts';
import type { Route } from './route.ts';
import type { BenchServer } from './server.ts';
import { backlogs } from './workloads.ts';

const versions = ['20', '22', '24', '26'] as const;

/** The program of a version, such as `24`, which npx fetches once. */
export async function nodeProgram(version: string): Promise<string> {
  const { stdout } = await promisify(execFile)('npx', ['-y', `node@${version}`, '-p', 'process.execPath']);
  return stdout.trim();
}

/** Half of A, over TCP and over TLS. */
export async function benchNodes(server: BenchServer, rounds: number, scale: number): Promise<Table | string> {
  const routes: Route[] = [];
  const ways = server.routes.filter(({ label }) => label === '' || label === 'TLS');
  for (const version of versions) {
    const node = await nodeProgram(version).catch(() => undefined);
    if (node === undefined) return `M was left out: npx cannot fetch node@${version}`;
    for (const { label, url } of ways)
      routes.push({ label: [label, `Node ${version}`].filter((part) => part !== '').join(', '), url, node });
  }
  const rows = Math.round((backlogs['A'].rows / 2) * scale);
  await using backlog = await writeBacklog('A', server, rows);
  const contestants = [
    ...ways.flatMap((route) => mainReaders(backlog, route).filter(({ reader }) => reader === 'pg_recvlogical')),
    ...routes.map((route) => ({ reader: 'walwatch' as const, route })),
  ];
  return {
    title: `M: ${rows} inserts in transactions of 1,000, by Node`,
    rows: await drainInTurns('M', backlog, contestants, rounds),
  };
}
