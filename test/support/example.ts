/** A program of examples/ as a process of its own: the compiled one (`npm run compile`). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { until } from './until.ts';

export interface Example {
  /** Waits for a line of its output. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  /** Sends the signal and waits for the end: the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<unknown>;
  /** Waits until it ends by itself: the exit code. */
  readonly ended: Promise<unknown>;
}

export interface ExampleOptions {
  readonly environment: NodeJS.ProcessEnv;
  readonly args?: readonly string[];
}

/** Within a test, which ends it if it has not ended itself. */
export function startExample(name: string, { environment, args = [] }: ExampleOptions): Example {
  const program = fileURLToPath(new URL(`../../.build/examples/${name}/main.js`, import.meta.url));
  const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, PORT: '0', ...environment } });
  const ended = once(child, 'exit').then(([code, signal]: unknown[]) => code ?? signal);
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => (output += text));
  }
  onTestFinished(async () => {
    if (!isOver()) child.kill('SIGTERM');
    await ended;
  });
  return {
    ended,
    line: (pattern) =>
      until(
        () => {
          const found = pattern.exec(output);
          if (!found && isOver()) throw new Error(`${name} has ended:\n${output}`);
          return found;
        },
        { describe: () => `${String(pattern)} in the output of ${name}:\n${output}`, timeout: 20_000 },
      ),
    async end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}
