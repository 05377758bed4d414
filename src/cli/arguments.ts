import { parseArgs, type ParseArgsConfig } from 'node:util';
import { closest } from './closest.ts';

/** What the process ends with. */
export const exit = { ok: 0, problem: 1, usage: 2 } as const;
export type ExitCode = (typeof exit)[keyof typeof exit];

export interface Command {
  /** One line for `walwatch --help`. */
  readonly summary: string;
  readonly help: string;
  run(args: readonly string[]): Promise<ExitCode>;
}

/** The command line or the configuration is wrong, which shows without asking the database. */
export class UsageError extends Error {
  readonly solution: string | undefined;

  constructor(message: string, solution?: string) {
    super(message);
    this.solution = solution;
  }
}

type Options = NonNullable<ParseArgsConfig['options']>;

/** Flags of every command that needs a connection. */
export const configurationFlags = {
  config: { type: 'string', short: 'c' },
  slot: { type: 'string' },
  publication: { type: 'string' },
} as const satisfies Options;

/** Flags of commands that take watchers as arguments. */
export const watcherFlags = { columns: { type: 'string' }, where: { type: 'string' } } as const satisfies Options;

/** Flags of commands that change something. */
export const changeFlags = {
  print: { type: 'boolean' },
  yes: { type: 'boolean', short: 'y' },
} as const satisfies Options;

/** @throws UsageError */
export function parse<const T extends Options>(
  args: readonly string[],
  options: T,
): ReturnType<typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    if (!String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS')) throw error;
    const [message = ''] = (error as Error).message.split(/\. |\n/, 1);
    throw new UsageError(message, flagHint(message, Object.keys(options)));
  }
}

function flagHint(message: string, known: readonly string[]): string {
  const given = /^Unknown option '--?([^']*)'/.exec(message)?.[1];
  const meant = given && closest(given, known);
  if (meant) return `Did you mean --${meant}?`;
  return `Known: ${known.map((name) => `--${name}`).join(', ')}. --help tells more.`;
}

/** @throws UsageError when there are arguments that nothing would read */
export function noArguments(positionals: readonly string[]): void {
  if (positionals.length > 0) throw new UsageError(`unexpected argument '${positionals[0]}'`);
}

/** `a, b` → `['a', 'b']` */
export function list(value: string | undefined): readonly string[] | undefined {
  return value?.split(',').flatMap((name) => name.trim() || []);
}

/** @throws UsageError when it is none */
export function positiveNumber(flag: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  const number = Number(value);
  if (!(number > 0 && number <= 86_400)) throw new UsageError(`--${flag} is a number above 0, not '${value}'`);
  return number;
}

/** Parts of several help texts. */
export const help = {
  configuration: `Configuration:
  -c, --config FILE      default: walwatch.config.js, .mjs, .cjs, .ts, .mts or .cts in this directory
      --slot NAME        in place of the configuration's slot
      --publication NAME in place of the configuration's; default: the slot's name
  The connection is that of the configuration, else DATABASE_URL, else PGHOST, PGUSER and so on.
  There is no flag for it: everybody on the machine can read command lines, passwords included.`,
  watchers: `Watchers:
  Names of the configuration's watchers, or table:type, such as users:updated or erp.orders:deleted.
      --columns A,B      their extraColumns
      --where SQL        their row filter, which the server applies (PostgreSQL 15 or newer)`,
  change: `      --print            only print the SQL, for a DBA or for psql
  -y, --yes              do not ask`,
  exit: 'Exit codes: 0 all is well, 1 a problem was found or the command failed, 2 wrong usage or configuration.',
};
