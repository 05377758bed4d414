/** Runs a program in a separate process, and reads the resources it and its walsender used from /proc (Linux). */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { commandOn, type Route } from './route.ts';

export interface Usage {
  /** Seconds of CPU, user and system. */
  cpu: number;
  /** Bytes, at the peak. */
  rss: number;
}

export interface Run {
  /** The lines that the program printed. */
  readonly lines: readonly string[];
  /** From its start to its end. */
  readonly seconds: number;
  readonly client: Usage;
  /** Undefined: the server is on another machine. */
  readonly walsender: Usage | undefined;
}

/** A program of this folder, compiled. */
export function program(name: string): string {
  return fileURLToPath(new URL(`./contestants/${name}.js`, import.meta.url));
}

/** Such as `--cpu-prof --cpu-prof-dir=/tmp/profiles`. */
const nodeOptions = (process.env['BENCH_NODE_OPTIONS'] ?? '').split(' ').filter((option) => option !== '');

export interface RunOptions {
  /** Its walsender is measured too. */
  readonly slot?: string;
  readonly route: Route;
  /** Seconds, after which the program is ended; its output until then counts. Default: as long as it takes. */
  readonly atMost?: number;
}

/** Runs a program of the folder contestants. */
export function runProgram(
  name: string,
  args: readonly string[],
  client: pg.Client,
  options: RunOptions,
): Promise<Run> {
  return run(options.route.node, ['--expose-gc', ...nodeOptions, program(name), ...args], client, options);
}

/** @throws when the program fails, with what it wrote to stderr */
export async function run(
  command: string,
  args: readonly string[],
  client: pg.Client,
  { slot, route, atMost }: RunOptions,
): Promise<Run> {
  const begin = performance.now();
  const child = spawn(...commandOn(route, command, args), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  let ended = false;
  let late = false;
  const timer = setTimeout(
    () => {
      late = true;
      child.kill('SIGKILL');
    },
    atMost === undefined ? 2 ** 31 - 1 : atMost * 1000,
  );
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      ended = true;
      resolve(code);
    });
  });
  const used: Usage = { cpu: 0, rss: 0 };
  const sender: Usage = { cpu: 0, rss: 0 };
  let senderPid: number | undefined;
  const sampling = (async () => {
    while (!ended) {
      read(child.pid!, used);
      if (senderPid !== undefined) read(senderPid, sender);
      else if (slot) senderPid = await activePid(client, slot);
      await delay(20);
    }
  })();
  const code = await exit;
  const seconds = (performance.now() - begin) / 1000;
  clearTimeout(timer);
  await sampling;
  if (code !== 0 && !late) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${errors}`);
  return {
    lines: output.split('\n').filter((line) => line !== ''),
    seconds,
    client: used,
    walsender: sender.cpu > 0 ? sender : undefined,
  };
}

async function activePid(client: pg.Client, slot: string): Promise<number | undefined> {
  const { rows } = await client.query<{ active_pid: number | null }>(
    'select active_pid from pg_replication_slots where slot_name = $1',
    [slot],
  );
  return rows[0]?.active_pid ?? undefined;
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: utime and stime are the 14th and 15th field, in 1/100 s. */
function read(pid: number, usage: Usage): void {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    usage.cpu = (Number(fields[11]) + Number(fields[12])) / 100;
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    if (peak) usage.rss = Number(peak[1]) * 1024;
  } catch {
    // It has ended, or is on another machine: the last value stays.
  }
}

/** Of a table: a value for each column. */
export type Row = Readonly<Record<string, string | number>>;

export interface Table {
  /** Begins with its name and a colon, such as `A: ` or `J1: `. */
  readonly title: string;
  readonly rows: readonly Row[];
}

/** Each contestant is the first in turn. */
export function rotated<T>(all: readonly T[], by: number): readonly T[] {
  return all.map((_, index) => all[(index + by) % all.length]!);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
