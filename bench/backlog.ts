/** Draining a backlog: each contestant in its turn reads a copy of the same slot. */
import { createWatch } from 'walwatch';
import { median, type Run, run, runProgram, type Table } from './measure.ts';
import { type BenchServer, findProgram } from './server.ts';
import { backlogs, type BacklogName, recreateTables, watchersOf } from './workloads.ts';

const ours = /^(walwatch|pg_recvlogical)/;

interface Drained extends Run {
  /** Seconds. */
  readonly drained: number;
  /** The slot stood at the end when it was over. */
  readonly moved: boolean;
}

export async function benchBacklog(
  workload: BacklogName,
  server: BenchServer,
  rounds: number,
  scale: number,
): Promise<Table> {
  const { client, url } = server;
  const { what, table, type, rows: most, prepare, write } = backlogs[workload];
  const rows = Math.round(most * scale);
  const slot = 'walwatch_bench';
  const whole = 'walwatch_bench';
  const lists = 'walwatch_bench_lists';
  await recreateTables(client);
  await prepare(client, rows);

  // The publications and the slot are made before the backlog, by watches that hear none of it.
  for (const [name, columnLists] of [
    [whole, false],
    ...(server.major >= 15 ? ([[lists, true]] as const) : []),
  ] as const) {
    const watch = createWatch({
      connection: url,
      slot: name,
      publication: { name, columnLists },
      watchers: watchersOf(table, type),
    });
    await watch.start();
    await watch.stop();
  }
  await write(client, rows);
  await client.query('checkpoint');
  const { rows: ends } = await client.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn');
  const { rows: commits } = await client.query<{ lsn: string }>(
    `select max(lsn)::text as lsn from pg_logical_slot_peek_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)
     where get_byte(data, 0) = 67`,
    [slot, whole],
  );
  const end = ends[0]!.lsn;
  const commit = commits[0]!.lsn;

  const recvlogical = findProgram('pg_recvlogical');
  const contestants: Record<string, (copy: string) => Promise<Run & { drained: number }>> = {};
  if (recvlogical)
    contestants['pg_recvlogical'] = async (copy) => {
      const options = ['-o', 'proto_version=1', '-o', `publication_names=${whole}`];
      const args = ['-d', url, '--slot', copy, '--start', '--no-loop', '-f', '/dev/null', ...options, '--endpos', end];
      const measured = await run(recvlogical, args, client, copy);
      return { ...measured, drained: measured.seconds };
    };
  const node = async (copy: string, name: string, ...args: string[]) => {
    const measured = await runProgram(name, [url, copy, ...args], client, copy);
    const { seconds, cpu } = JSON.parse(measured.lines.at(-1)!) as { seconds: number; cpu: number };
    return { ...measured, client: { ...measured.client, cpu }, drained: seconds };
  };
  const sizes = [table, type, String(rows), commit] as const;
  contestants['walwatch'] = (copy) => node(copy, 'walwatch', whole, ...sizes);
  if (server.major >= 15) contestants['walwatch, column lists'] = (copy) => node(copy, 'walwatch', lists, ...sizes);
  contestants['pg-logical-replication, by hand'] = (copy) =>
    node(copy, 'pg-logical-replication', whole, 'manual', String(rows), commit);
  contestants['pg-logical-replication, as its README'] = (copy) =>
    node(copy, 'pg-logical-replication', whole, 'readme', String(rows), commit);

  const names = Object.keys(contestants).filter(
    (name) => !process.env['BENCH_ONLY'] || new RegExp(process.env['BENCH_ONLY']).test(name),
  );
  const runs = new Map<string, Drained[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + turn) % names.length]!;
      const copy = `walwatch_bench_${round}_${turn}`;
      await client.query('select pg_copy_logical_replication_slot($1, $2)', [slot, copy]);
      try {
        const measured = await contestants[name]!(copy);
        const moved = await hasMoved(server, copy, commit);
        if (!moved && ours.test(name)) throw new Error(`${name} has not moved its slot to the end`);
        runs.get(name)!.push({ ...measured, moved });
        process.stderr.write(`${workload} round ${round + 1}: ${name} ${measured.drained.toFixed(2)} s\n`);
      } finally {
        await dropSlot(server, copy);
      }
    }
  }
  await dropSlot(server, slot);
  await dropSlot(server, lists);
  await client.query(`drop publication if exists ${whole}; drop publication if exists ${lists}`);
  const medianOf = (name: string, value: (one: Drained) => number) => median(runs.get(name)!.map(value));
  const base = medianOf(names[0]!, (one) => one.drained);
  return {
    title: `${workload}: ${rows} ${what}`,
    rows: names.map((name) => {
      const seconds = medianOf(name, (one) => one.drained);
      return {
        contestant: name,
        [`time, ${names[0]!} = 1`]: Number((seconds / base).toFixed(2)),
        seconds: Number(seconds.toFixed(2)),
        'client CPU s': Number(medianOf(name, (one) => one.client.cpu).toFixed(2)),
        'walsender CPU s': runs.get(name)!.every((one) => one.walsender)
          ? Number(medianOf(name, (one) => one.walsender!.cpu).toFixed(2))
          : '',
        'slot at the end': runs.get(name)!.every((one) => one.moved) ? 'yes' : 'no',
        'peak RSS MB': Math.round(medianOf(name, (one) => one.client.rss) / 1e6),
      };
    }),
  };
}

/** Whoever has not moved the slot to the end has not acknowledged what it read. */
async function hasMoved({ client }: BenchServer, slot: string, commit: string): Promise<boolean> {
  const { rows } = await client.query<{ moved: boolean }>(
    'select confirmed_flush_lsn >= $2::pg_lsn as moved from pg_replication_slots where slot_name = $1',
    [slot, commit],
  );
  return rows[0]?.moved === true;
}

async function dropSlot({ client }: BenchServer, slot: string): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ active: boolean }>(
      'select active from pg_replication_slots where slot_name = $1',
      [slot],
    );
    if (rows.length === 0) return;
    if (!rows[0]!.active) await client.query('select pg_drop_replication_slot($1)', [slot]);
  }
}
