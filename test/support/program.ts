/** The programs of test/programs, as separate processes that a test can kill. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

export interface Program {
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<void>;
}

/** Starts a compiled program; each line that it prints is JSON. It does not outlive the test. */
export function startProgram<Line>(
  name: string,
  args: readonly string[],
  print: (line: Line) => void = () => {},
): Program {
  const child = spawn(
    process.execPath,
    ['--disable-warning=WalwatchWarning', `.build/test/programs/${name}.js`, ...args],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  createInterface(child.stdout).on('line', (line) => print(JSON.parse(line) as Line));
  const program: Program = {
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, 'close'); // everything it has printed has been read by then
      child.kill(signal);
      await closed;
    },
  };
  onTestFinished(() => program.end('SIGKILL'));
  return program;
}
