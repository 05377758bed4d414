/** A backlog that is written once and read by every contestant: each reads a copy of the same slot. */
import { createWatch } from 'walwatch';
import { type Run, run, runProgram } from './measure.ts';
import type { Route } from './route.ts';
import { type BenchServer, findProgram } from './server.ts';
import { backlogs, type BacklogName, recreateTables, watchersOf } from './workloads.ts';

export type Reader =
  | 'pg_recvlogical'
  | 'walwatch'
  | 'walwatch, column lists'
  | 'pg-logical-replication, by hand'
  | 'pg-logical-replication, as its README';

export interface Drained extends Run {
  /** Seconds. */
  readonly drained: number;
  /** The slot was at the end when the run was over. */
  readonly moved: boolean;
}

export interface WrittenBacklog extends AsyncDisposable {
  /** The contestants that can run here. */
  readonly readers: readonly Reader[];
  drain(reader: Reader, route: Route): Promise<Drained>;
}

const slot = 'walwatch_bench';
const whole = 'walwatch_bench';
const lists = 'walwatch_bench_lists';

export async function writeBacklog(name: BacklogName, server: BenchServer, rows: number): Promise<WrittenBacklog> {
  const { client } = server;
  const { table, type, prepare, write } = backlogs[name];
  await recreateTables(client);
  await prepare(client, rows);

  // Watches create the publications and the slot before the backlog, so that they receive none of it.
  const hasLists = server.major >= 15;
  await makeSlot(server, whole, watchersOf(table, type), false);
  if (hasLists) await makeSlot(server, lists, watchersOf(table, type), true);
  await write(client, rows);
  await client.query('checkpoint');
  const end = await oneLsn(server, 'select pg_current_wal_flush_lsn()::text as lsn');
  const commit = await oneLsn(
    server,
    `select max(lsn)::text as lsn from pg_logical_slot_peek_binary_changes('${slot}', null, null, 'proto_version', '1', 'publication_names', '${whole}')
     where get_byte(data, 0) = 67`,
  );

  const recvlogical = findProgram('pg_recvlogical');
  const sizes = [table, type, String(rows), commit] as const;
  const node = async (route: Route, copy: string, program: string, ...args: string[]) => {
    const measured = await runProgram(program, [route.url, copy, ...args], client, { slot: copy, route });
    const { seconds, cpu } = JSON.parse(measured.lines.at(-1)!) as { seconds: number; cpu: number };
    return { ...measured, client: { ...measured.client, cpu }, drained: seconds };
  };
  const drains: Record<Reader, (route: Route, copy: string) => Promise<Run & { drained: number }>> = {
    async pg_recvlogical(route, copy) {
      const options = ['-o', 'proto_version=1', '-o', `publication_names=${whole}`];
      const args = ['--slot', copy, '--start', '--no-loop', '-f', '/dev/null', ...options, '--endpos', end];
      const measured = await run(recvlogical!, ['-d', route.url, ...args], client, { slot: copy, route });
      return { ...measured, drained: measured.seconds };
    },
    walwatch: (route, copy) => node(route, copy, 'walwatch', whole, ...sizes),
    'walwatch, column lists': (route, copy) => node(route, copy, 'walwatch', lists, ...sizes),
    'pg-logical-replication, by hand': (route, copy) =>
      node(route, copy, 'pg-logical-replication', whole, 'manual', String(rows), commit),
    'pg-logical-replication, as its README': (route, copy) =>
      node(route, copy, 'pg-logical-replication', whole, 'readme', String(rows), commit),
  };
  const missing = [...(recvlogical ? [] : ['pg_recvlogical']), ...(hasLists ? [] : ['walwatch, column lists'])];
  let copies = 0;
  return {
    readers: (Object.keys(drains) as Reader[]).filter((reader) => !missing.includes(reader)),
    async drain(reader, route) {
      const copy = `walwatch_bench_${++copies}`;
      await client.query('select pg_copy_logical_replication_slot($1, $2)', [slot, copy]);
      try {
        const measured = await drains[reader](route, copy);
        return { ...measured, moved: await hasMoved(server, copy, commit) };
      } finally {
        await dropSlot(server, copy);
      }
    },
    async [Symbol.asyncDispose]() {
      await dropSlot(server, slot);
      await dropSlot(server, lists);
      await client.query(`drop publication if exists ${whole}; drop publication if exists ${lists}`);
    },
  };
}

async function makeSlot(
  { url }: BenchServer,
  name: string,
  watchers: ReturnType<typeof watchersOf>,
  columnLists: boolean,
): Promise<void> {
  const watch = createWatch({ connection: url, slot: name, publication: { name, columnLists }, watchers });
  await watch.start();
  await watch.stop();
}

async function oneLsn({ client }: BenchServer, query: string): Promise<string> {
  const { rows } = await client.query<{ lsn: string }>(query);
  return rows[0]!.lsn;
}

/** A contestant that has not moved the slot to the end has not acknowledged everything. */
async function hasMoved({ client }: BenchServer, name: string, commit: string): Promise<boolean> {
  const { rows } = await client.query<{ moved: boolean }>(
    'select confirmed_flush_lsn >= $2::pg_lsn as moved from pg_replication_slots where slot_name = $1',
    [name, commit],
  );
  return rows[0]?.moved === true;
}

async function dropSlot({ client }: BenchServer, name: string): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ active: boolean }>(
      'select active from pg_replication_slots where slot_name = $1',
      [name],
    );
    if (rows.length === 0) return;
    if (!rows[0]!.active) await client.query('select pg_drop_replication_slot($1)', [name]);
  }
}
