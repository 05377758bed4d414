/** `npm start`, as a separate process: the compiled program (`npm run compile`). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.ts';

const program = fileURLToPath(new URL('../../.build/examples/worker/main.js', import.meta.url));

export interface Worker {
  readonly process: ChildProcess;
  /** Its output so far. */
  readonly output: string;
  /** Waits for a line of its output. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  /** Sends the signal and waits for the end: the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<unknown>;
}

const workers: Worker[] = [];

export function startWorker(environment: NodeJS.ProcessEnv): Worker {
  const child = spawn(process.execPath, [program], { env: { ...process.env, ...environment } });
  const exited = once(child, 'exit');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => (output += text));
  }
  const worker: Worker = {
    process: child,
    get output() {
      return output;
    },
    line: (pattern) =>
      until(
        () => {
          const found = pattern.exec(output);
          if (!found && isOver(worker)) throw new Error(`the worker has ended:\n${output}`);
          return found;
        },
        { describe: () => `${String(pattern)} in the output of the worker:\n${output}` },
      ),
    async end(signal) {
      child.kill(signal);
      const [code, endedBy] = await exited;
      return code ?? endedBy;
    },
  };
  workers.push(worker);
  return worker;
}

const isOver = ({ process: { exitCode, signalCode } }: Worker) => exitCode !== null || signalCode !== null;

/** Where a worker without DATABASE_URL keeps its server: its TMPDIR. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'walwatch-npm-start-'));
  await chmod(folder, 0o755); // PostgreSQL runs as another user if we are root
  return folder;
}

/** Ends everything that a failed test has left running, its server included. */
export async function removeFolder(folder: string): Promise<void> {
  for (const worker of workers) if (!isOver(worker)) await worker.end('SIGTERM');
  for (const server of await readdir(folder)) {
    const pid = await readFile(join(folder, server, 'data', 'postmaster.pid'), 'utf8').then(
      (text) => Number(text.split('\n')[0]),
      () => undefined,
    );
    if (pid !== undefined) process.kill(pid, 'SIGQUIT');
  }
  await rm(folder, { recursive: true, maxRetries: 10 });
}
