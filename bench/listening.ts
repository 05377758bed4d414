/** A listener and a writer of rows, each in a separate process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { program } from './measure.ts';
import { commandOn, type Route } from './route.ts';
import { type BenchServer, findProgram } from './server.ts';
import { recreateTables } from './workloads.ts';

export interface Listener {
  /** `pg_recvlogical`, or one that contestants/live.ts knows. */
  readonly who: string;
  readonly route: Route;
}

/** When each row arrived: nanoseconds of the machine's monotonic clock. */
export type Times = ReadonlyMap<number, bigint>;

export async function withListener<T>(
  server: BenchServer,
  { who, route }: Listener,
  count: number,
  work: (heard: Promise<Times>) => Promise<T>,
): Promise<T> {
  const { client } = server;
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
      ? commandOn(route, findProgram(who)!, recvlogical(route.url))
      : commandOn(route, route.node, [program('live'), who, route.url, String(count)]);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const output = linesOf(child.stdout);
  try {
    if (who === 'pg_recvlogical') await untilActive(server);
    else if ((await output.next()).value !== 'ready') throw new Error(`${who} did not get ready`);
    const heard = output.next().then(({ value }) => timesOf(JSON.parse(value ?? '[]') as [number, string][]));
    heard.catch(() => {}); // G measures without waiting
    return await work(heard);
  } finally {
    child.kill();
    await exited;
    await untilIdle(server);
    await client.query('drop publication walwatch_bench');
    await client.query(`drop function if exists walwatch_bench_notify cascade`);
  }
}

/** Inserts rows, each in its own commit, at this rate a second, or as fast as it can (0). Returns when each was answered. */
export async function write(
  url: string,
  count: number,
  rate: number,
  table: 'accounts' | 'existing_bigint' = 'accounts',
  firstId = 1,
): Promise<Times> {
  const args = [url, String(count), String(rate), table, String(firstId)];
  const child = spawn(process.execPath, [program('writer'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { value } = await linesOf(child.stdout).next();
  return timesOf(JSON.parse(value ?? '[]') as [number, string][]);
}

/** Milliseconds from the writer's answer to the handler, sorted. 0 for an event that arrives before the answer. */
export function latencies(server: BenchServer, listener: Listener, count: number, rate: number): Promise<number[]> {
  return withListener(server, listener, count, async (heard) => {
    const answered = await write(server.url, count, rate);
    const came = await heard;
    return [...answered].map(([id, at]) => Math.max(0, Number(came.get(id)! - at) / 1e6)).toSorted((a, b) => a - b);
  });
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
export async function untilIdle(server: BenchServer): Promise<void> {
  while ((await activeSlots(server)) > 0);
  await server.client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots');
}

export async function* linesOf(stream: NodeJS.ReadableStream): AsyncGenerator<string, undefined> {
  let rest = '';
  for await (const text of stream) {
    const parts = (rest + String(text)).split('\n');
    rest = parts.pop()!;
    yield* parts;
  }
  return undefined;
}

export function timesOf(times: readonly (readonly [number, string])[]): Times {
  return new Map(times.map(([id, at]) => [id, BigInt(at)]));
}
