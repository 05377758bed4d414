import { createInterface } from 'node:readline/promises';
import { printable } from '../printable.ts';
import { UsageError } from './arguments.ts';
import { note } from './output.ts';

/** Asks whether to continue. @throws UsageError without a terminal */
export async function confirmed(question: string, flags: { readonly yes?: boolean | undefined }): Promise<boolean> {
  if (flags.yes) return true;
  if (process.stdin.isTTY !== true) {
    throw new UsageError(
      'confirmation needs a terminal; nothing was changed',
      'Add --yes to run without confirmation.',
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // Ctrl-D and Ctrl-C mean no.
  const none = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  try {
    const answer = await Promise.race([terminal.question(`${printable(question)} [y/N] `), none]);
    if (/^y(es)?$/i.test(answer.trim())) return true;
    note('Nothing was changed.');
    return false;
  } finally {
    terminal.close();
  }
}
