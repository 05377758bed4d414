/** E, F and G: what is written while somebody listens. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, program, type Table } from './measure.ts';
import { type BenchServer, findProgram } from './server.ts';
import { account, recreateTables } from './workloads.ts';

const listeners = ['walwatch', 'walwatch-immediate', 'pg-logical-replication', 'postgres', 'notify'] as const;
type Listener = (typeof listeners)[number];
/** PostgreSQL's own client tells of no times. */
type Consumer = Listener | 'pg_recvlogical';

type Times = ReadonlyMap<number, bigint>;

async function withListener<T>(
  server: BenchServer,
  who: Consumer,
  count: number,
  work: (heard: Promise<Times>) => Promise<T>,
): Promise<T> {
  const { client, url } = server;
  await recreateTables(client);
  await client.query('create publication walwatch_bench for table accounts');
  if (who === 'pg-logical-replication' || who === 'pg_recvlogical')
    await client.query(`select pg_create_logical_replication_slot('walwatch_bench', 'pgoutput')`);
  if (who === 'notify')
    await client.query(`create or replace function walwatch_bench_notify() returns trigger language plpgsql as
      $$ begin perform pg_notify('accounts', json_build_object('id', new.id, 'role_id', new.role_id)::text); return null; end $$;
      create trigger notify after insert on accounts for each row execute function walwatch_bench_notify()`);
  const [command, args] =
    who === 'pg_recvlogical'
      ? [findProgram(who)!, recvlogical(url)]
      : [process.execPath, [program('live'), who, url, String(count)]];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const output = lines(child.stdout);
  try {
    if (who === 'pg_recvlogical') await untilActive(server);
    else if ((await output.next()).value !== 'ready') throw new Error(`${who} did not get ready`);
    const heard = output.next().then(({ value }) => timesOf(value ?? '[]'));
    heard.catch(() => {}); // G waits for nobody
    return await work(heard);
  } finally {
    child.kill();
    await exited;
    await untilIdle(server);
    await client.query('drop publication walwatch_bench');
    await client.query(`drop function if exists walwatch_bench_notify cascade`);
  }
}

function recvlogical(url: string): string[] {
  const options = ['-o', 'proto_version=1', '-o', 'publication_names=walwatch_bench'];
  return ['-d', url, '--slot', 'walwatch_bench', '--start', '-f', '/dev/null', ...options];
}

async function activeSlots({ client }: BenchServer): Promise<number> {
  const { rows } = await client.query<{ slots: string }>(
    'select count(*) as slots from pg_replication_slots where active',
  );
  return Number(rows[0]!.slots);
}

async function untilActive(server: BenchServer): Promise<void> {
  while ((await activeSlots(server)) === 0);
}

/** Slots are released a moment after their listener has ended. */
async function untilIdle(server: BenchServer): Promise<void> {
  while ((await activeSlots(server)) > 0);
  await server.client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots');
}

async function write(server: BenchServer, count: number, rate: number): Promise<Times> {
  const child = spawn(process.execPath, [program('writer'), server.url, String(count), String(rate)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { value } = await lines(child.stdout).next();
  return timesOf(value ?? '[]');
}

async function* lines(stream: NodeJS.ReadableStream): AsyncGenerator<string, undefined> {
  let rest = '';
  for await (const text of stream) {
    const parts = (rest + String(text)).split('\n');
    rest = parts.pop()!;
    yield* parts;
  }
  return undefined;
}

function timesOf(json: string): Times {
  return new Map((JSON.parse(json) as [number, string][]).map(([id, at]) => [id, BigInt(at)]));
}

/** E: rows a second from the first commit to the last event. */
export async function benchLiveInserts(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const count = Math.round(20_000 * scale);
  const rates = new Map<Listener, number[]>(listeners.map((who) => [who, []]));
  for (let round = 0; round < rounds; round++) {
    for (const who of rotated(listeners, round)) {
      await withListener(server, who, count, async (heard) => {
        const answered = await write(server, count, 0);
        const last = [...(await heard).values()].reduce((a, b) => (a > b ? a : b));
        rates.get(who)!.push(count / (Number(last - answered.get(1)!) / 1e9));
      });
    }
  }
  return {
    title: `E: ${count} live inserts of one connection, each committed by itself`,
    rows: listeners.map((who) => ({ contestant: who, 'events/s': Math.round(median(rates.get(who)!)) })),
  };
}

/** F: milliseconds from the writer's answer to the handler. An event may be heard before the writer is answered: 0. */
export async function benchLatency(server: BenchServer, rounds: number, scale: number): Promise<Table> {
  const rows: Record<string, string | number>[] = [];
  for (const rate of [100, 1000]) {
    const count = Math.round(rate * 5 * scale);
    const percentiles = new Map<Listener, (readonly [number, number])[]>(listeners.map((who) => [who, []]));
    for (let round = 0; round < rounds; round++) {
      for (const who of rotated(listeners, round)) {
        await withListener(server, who, count, async (heard) => {
          const answered = await write(server, count, rate);
          const came = await heard;
          const late = [...answered]
            .map(([id, at]) => Math.max(0, Number(came.get(id)! - at) / 1e6))
            .toSorted((a, b) => a - b);
          const at = (share: number) => late[Math.floor((late.length - 1) * share)]!;
          percentiles.get(who)!.push([at(0.5), at(0.99)]);
        });
      }
    }
    for (const who of listeners) {
      const [p50, p99] = [0, 1].map((index) => median(percentiles.get(who)!.map((pair) => pair[index]!)));
      rows.push({
        contestant: who,
        'commits/s': rate,
        'p50 ms': Number(p50!.toFixed(3)),
        'p99 ms': Number(p99!.toFixed(3)),
      });
    }
  }
  return { title: 'F: from the commit’s answer to the handler', rows };
}

/** G: what writers are left with: pgbench, 4 clients. */
export async function benchWriters(server: BenchServer, rounds: number, scale: number): Promise<Table | string> {
  const pgbench = findProgram('pgbench');
  if (!pgbench) return "G was left out: there is no pgbench (Debian's postgresql-contrib has it)";
  const script = join(tmpdir(), `walwatch-bench-${process.pid}.sql`);
  await writeFile(script, `insert into accounts select ${account} from nextval('accounts_id') n;\n`);
  const seconds = Math.max(2, Math.round(5 * scale));
  const pgbenchFor = async (duration: number) => {
    const child = spawn(pgbench, ['-n', '-f', script, '-c', '4', '-j', '2', '-T', String(duration), server.url], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    for await (const text of child.stdout) output += String(text);
    return Number(/tps = ([\d.]+)/.exec(output)?.[1]);
  };
  const tps = async () => {
    await server.client.query('drop sequence if exists accounts_id; create sequence accounts_id');
    await pgbenchFor(2); // until who listens is compiled
    return pgbenchFor(seconds);
  };
  const contestants = (['nobody', 'pg_recvlogical', 'walwatch', 'notify'] as const).filter(
    (who) => who !== 'pg_recvlogical' || findProgram(who),
  );
  const rates = new Map<string, number[]>(contestants.map((who) => [who, []]));
  for (let round = 0; round < rounds; round++) {
    for (const who of rotated(contestants, round)) {
      if (who === 'nobody') {
        await recreateTables(server.client);
        rates.get(who)!.push(await tps());
      } else await withListener(server, who, -1, async () => rates.get(who)!.push(await tps()));
    }
  }
  const alone = median(rates.get('nobody')!);
  return {
    title: 'G: commits a second of 4 writers (pgbench), while somebody listens',
    rows: contestants.map((who) => ({
      'who listens': who,
      'commits/s': Math.round(median(rates.get(who)!)),
      share: Number((median(rates.get(who)!) / alone).toFixed(2)),
    })),
  };
}

function rotated<T>(all: readonly T[], by: number): readonly T[] {
  return all.map((_, index) => all[(index + by) % all.length]!);
}
