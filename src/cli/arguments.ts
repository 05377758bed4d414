import { parseArgs, type ParseArgsConfig } from 'node:util';
import { nearest } from '../nearest.ts';

/** Exit codes of the process. */
export const exit = { ok: 0, problem: 1, usage: 2 } as const;
export type ExitCode = (typeof exit)[keyof typeof exit];

export interface Command {
  /** One line for `walwatch --help`. */
  readonly summary: string;
  readonly help: string;
  run(args: readonly string[]): Promise<ExitCode>;
}

/** The command line or the configuration is wrong. No database is needed to see that. */
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
  const meant = given && nearest(given, known);
  if (meant) return `Did you mean --${meant}?`;
  return `Options: ${known.map((name) => `--${name}`).join(', ')}. --help explains them.`;
}

/** @throws UsageError when there are arguments */
export function noArguments(positionals: readonly string[]): void {
  if (positionals.length > 0) throw new UsageError(`unexpected argument '${positionals[0]}'`);
}

/** `a, b` → `['a', 'b']` */
export function list(value: string | undefined): readonly string[] | undefined {
  return value?.split(',').flatMap((name) => name.trim() || []);
}

/** @throws UsageError for any other value */
export function positiveNumber(flag: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  const number = Number(value);
  if (!(number > 0 && number <= 86_400))
    throw new UsageError(`invalid --${flag} '${value}'; expected a number of seconds above 0, at most 86400`);
  return number;
}

/** Parts of several help texts. */
export const help = {
  configuration: `Configuration:
  -c, --config FILE      default: walwatch.config.js, .mjs, .cjs, .ts, .mts or .cts in this directory
      --slot NAME        the slot; overrides the configuration
      --publication NAME the publication; overrides the configuration; default: the slot's name
  The connection comes from the configuration, otherwise from DATABASE_URL, otherwise from PGHOST, PGUSER and so on.
  No flag sets it, because every user of the machine can read command lines and the passwords in them.`,
  watchers: `Watchers:
  Names of watchers in the configuration, or table:type, such as users:updated or erp.orders:deleted.
      --columns A,B      extraColumns of these watchers
      --where SQL        row filter of these watchers, applied by the server (PostgreSQL 15 or newer)`,
  change: `      --print            only print the SQL, for a DBA or for psql
  -y, --yes              do not ask`,
  exit: 'Exit codes: 0 no problem, 1 a problem was found or the command failed, 2 wrong usage or configuration.',
};
