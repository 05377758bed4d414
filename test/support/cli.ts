/** The command line in separate processes: the compiled program (`npm run compile`), in a pipe or on a terminal. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { until } from './until.ts';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const parent = fileURLToPath(new URL('../../.build/', import.meta.url));

export interface CliOptions {
  /** The server that it connects to. */
  readonly url?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The folder that it runs in: `folder()`. Default: one without a configuration. */
  readonly cwd?: string;
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  /** On a terminal `stdout` has everything. */
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Waits for output of either kind. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  type(text: string): void;
  readonly ended: Promise<Ended>;
}

/** A project folder that has walwatch as a dependency, with these files; deleted when the test has finished. */
export async function folder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  await mkdir(parent, { recursive: true });
  // Inside the package, so that 'walwatch' is found.
  const made = await mkdtemp(join(parent, 'cli-test-'));
  onTestFinished(() => rm(made, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(made, name), text);
  return made;
}

function environment({ url, env }: CliOptions): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(PG|DATABASE_URL|NO_COLOR|FORCE_COLOR|NODE_|CI$|TERM$|COLORTERM$|LANG$|LC_)/.test(name),
  );
  return { ...Object.fromEntries(own), ...(url !== undefined && { DATABASE_URL: url }), ...env };
}

function follow(child: ChildProcess): Running {
  let [stdout, stderr] = ['', ''];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin!.on('error', () => {}); // it may have ended
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code: code ?? signal, stdout, stderr }));
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
    type: (text) => void child.stdin!.write(text),
    says: (pattern) =>
      until(
        () => {
          const found = pattern.exec(stdout) ?? pattern.exec(stderr);
          if (!found && child.exitCode !== null)
            throw new Error(`it has ended without ${String(pattern)}:\n${stdout}${stderr}`);
          return found;
        },
        { describe: () => `${String(pattern)} in\n${stdout}${stderr}` },
      ),
  };
}

/** Starts it with pipes for its streams. */
export function startCli(args: readonly string[], options: CliOptions = {}): Running {
  return follow(spawn(process.execPath, [program, ...args], { cwd: options.cwd ?? parent, env: environment(options) }));
}

/** Runs it in a pipe. */
export async function cli(args: readonly string[], options: CliOptions = {}): Promise<Ended> {
  const { child, ended } = startCli(args, options);
  child.stdin!.end();
  return ended;
}

/** Starts it on a terminal, which `script` of util-linux creates. `before`: commands that its shell runs first. */
export function startOnTerminal(args: readonly string[], options: CliOptions = {}, before = ''): Running {
  const quoted = [process.execPath, program, ...args].map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`);
  const env = { TERM: 'xterm-256color', ...environment(options) };
  const command = ['-qec', `${before} exec ${quoted.join(' ')}`, '/dev/null'];
  return follow(spawn('script', command, { cwd: options.cwd ?? parent, env }));
}

export async function onTerminal(args: readonly string[], options: CliOptions = {}): Promise<Ended> {
  return startOnTerminal(args, options).ended;
}

/** The same in a window whose size can be changed: `rows` and `columns` in characters. */
export function startInWindow(
  args: readonly string[],
  { rows, columns, ...options }: CliOptions & { readonly rows: number; readonly columns: number },
): Running & { resize(rows: number, columns: number): Promise<void> } {
  const running = startOnTerminal(args, options, `tty; stty rows ${rows} cols ${columns};`);
  return {
    ...running,
    async resize(newRows, newColumns) {
      const [terminal] = await running.says(/\/dev\/\S+/);
      const child = spawn('stty', ['-F', terminal, 'rows', String(newRows), 'cols', String(newColumns)]);
      await once(child, 'close');
    },
  };
}

/** Whether it contains an escape sequence for colours. */
export function isColoured(text: string): boolean {
  return text.includes('\u001b[');
}
