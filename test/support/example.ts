/** Examples as their users run them: in separate processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { until } from './until.ts';

export interface Example {
  readonly process: ChildProcess;
  /** Its output so far. */
  readonly output: string;
  /** Waits for a match in its output. */
  prints(pattern: RegExp): Promise<RegExpExecArray>;
  /** Waits for its end: the exit code, or the signal that ended it. */
  ended(): Promise<unknown>;
}

/**
 * Runs a file of the project with Node, and asks it to end when the test has finished. `under`: a command that runs
 * Node, such as `unshare`.
 */
export function runExample(
  path: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  under: readonly string[] = [],
): Example {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const [command, ...given] = [...under, process.execPath, path, ...args] as [string, ...string[]];
  const child = spawn(command, given, { cwd: root, env: { ...process.env, ...environment } });
  const exited = once(child, 'close');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => (output += text));
  }
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  onTestFinished(async () => {
    if (!isOver()) child.kill(under.length > 0 ? 'SIGKILL' : 'SIGTERM'); // `unshare` itself ignores SIGTERM
    await exited;
  });
  return {
    process: child,
    get output() {
      return output;
    },
    prints: (pattern) =>
      until(
        () => {
          const found = pattern.exec(output);
          if (!found && isOver()) throw new Error(`${path} has ended:\n${output}`);
          return found;
        },
        { describe: () => `${String(pattern)} in the output of ${path}:\n${output}`, timeout: 30_000 },
      ),
    async ended() {
      const [code, endedBy] = await exited;
      return code ?? endedBy;
    },
  };
}

/** The example of this name, compiled (`npm run compile`). */
export function startExample(
  name: string,
  { environment, args = [] }: { readonly environment: NodeJS.ProcessEnv; readonly args?: readonly string[] },
) {
  const example = runExample(`.build/examples/${name}/main.js`, args, { PORT: '0', ...environment });
  return {
    /** Waits for a line of its output. */
    line: (pattern: RegExp) => example.prints(pattern),
    /** Waits for its exit code. */
    ended: example.ended(),
    /** Sends the signal and waits for the end: the exit code, or the signal that ended it. */
    end(signal: NodeJS.Signals): Promise<unknown> {
      example.process.kill(signal);
      return example.ended();
    },
  };
}
