#!/usr/bin/env node
import { readFile } from 'node:fs/promises';
import { type Command, exit, type ExitCode, UsageError } from './arguments.ts';
import { nearest } from '../nearest.ts';
import { deadLetters } from './dead-letters.ts';
import { doctor } from './doctor.ts';
import { type ConfigurationIssue, issuesText, thrownText, WatchError } from '../errors.ts';
import { flush, indented, note, print, watchPipe } from './output.ts';
import { pasteable } from './pasteable.ts';
import { setup } from './setup.ts';
import { status } from './status.ts';
import { tail } from './tail.ts';
import { teardown } from './teardown.ts';

const commands: Readonly<Record<string, Command>> = {
  doctor, setup, teardown, status, tail, 'dead-letters': deadLetters,
}; // prettier-ignore

const overview = `Usage: walwatch <command> [options]

Commands:
${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(14)}${summary}`)
  .join('\n')}

walwatch <command> --help shows options and examples. walwatch --version prints the version.
Exit codes: 0 no problem, 1 a problem was found or the command failed, 2 wrong usage or configuration.`;

async function run([name, ...args]: readonly string[]): Promise<ExitCode> {
  if (name === undefined) throw new UsageError('a command is missing', overview);
  if (name === '--help' || name === '-h' || name === 'help') {
    await print(overview);
    return exit.ok;
  }
  if (name === '--version' || name === '-v') {
    const file = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
    await print((JSON.parse(file) as { version: string }).version);
    return exit.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw unknownCommand(name);
  if (args.includes('--help') || args.includes('-h')) {
    await print(command.help);
    return exit.ok;
  }
  return command.run(args);
}

function withPasteable(issue: ConfigurationIssue): ConfigurationIssue {
  return { ...issue, solution: issue.solution && pasteable(issue.solution).replaceAll('\n', '\n    ') };
}

function unknownCommand(name: string): UsageError {
  const known = Object.keys(commands);
  const meant = nearest(name, known);
  const hint =
    meant === undefined ? `Commands: ${known.join(', ')}. walwatch --help explains them.` : `Did you mean '${meant}'?`;
  return new UsageError(`unknown command '${name}'`, hint);
}

function failed(error: unknown): ExitCode {
  const { message, solution, code, issues } = (error ?? {}) as {
    message?: unknown;
    solution?: string;
    code?: unknown;
    issues?: readonly ConfigurationIssue[];
  };
  const usage = error instanceof UsageError;
  const kind = typeof code === 'string' ? `${code}: ` : '';
  // Errors of other packages may have `issues`, too. The text of ours includes the solutions.
  const ours = code === 'CONFIGURATION' ? issues : undefined;
  const text = ours ? issuesText(ours.map(withPasteable)) : typeof message === 'string' ? message : thrownText(error);
  const remedy = solution === undefined || ours ? '' : `\n  ${indented(pasteable(solution))}`;
  // Not indented like the SQL above it, so that it is not pasted into psql.
  const more = error instanceof WatchError ? `\nSee ${error.help}` : '';
  note(`walwatch: ${kind}${indented(text)}${remedy}${more}`);
  return usage ? exit.usage : exit.problem;
}

/** Reports an uncaught error of a configuration file, such as a rejected promise. Node would print it with all its properties. */
function uncaught(error: unknown): void {
  const code = failed(error);
  void flush().finally(() => process.exit(code));
}

watchPipe();
process.on('uncaughtException', uncaught).on('unhandledRejection', uncaught);
const code = await run(process.argv.slice(2)).catch(failed);
await flush();
// Connections that a configuration file has opened must not keep the process running.
process.exit(code);
