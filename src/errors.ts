import { inspect } from 'node:util';
import { groupAlike, othersText } from './alike.ts';
import { redact, redactValue } from './redaction.ts';

/**
 * Every error a user can meet has a code. W: given with `warning`; E: ends the watch; R: retried, seen in `disconnected` and `status()`.
 */
export const errorCodes = [
  'CONFIGURATION', // E  options, watchers or database do not fit: see `issues`
  'UNSUPPORTED', //   E  server version, pooler in the way
  'CONNECTION', //    R  refused, reset, timed out, silent
  'SERVER_BUSY', //   R  too many connections, starting up, recovering, still a standby: mostly retried slowly
  'SERVER_ERROR', //  R  the server refuses what walwatch asks, for a reason without a code of its own: retried slowly
  'AUTHENTICATION', //E  password, role, pg_hba, database. R after a first stream where it may succeed again
  'TLS', //           E  refused or not trusted. R after a first stream
  'PERMISSION', //    E  a right is missing
  'SLOT_ACTIVE', //   W  another worker has the slot
  'STRAY_SLOT', //    W  nobody reads a slot that looks like an earlier name of this one
  'SLOT_BLOCKED', //  R  making the slot waits for a transaction
  'SLOT_LOST', //     E  lost, invalidated, dropped
  'SLOT_MOVED', //    E  advanced or recreated by someone else
  'PUBLICATION_LOST', //E  it is missing, or was while changes were written: a gap
  'PUBLICATION_CHANGED', // W E  it was made anew, or a watched table is gone from it
  'SYNCHRONOUS_STANDBY', //E  commits would wait for our acknowledgement
  'STANDBY_BEHIND', // W  events wait for a standby that is down
  'SCHEMA_CHANGED', //W E  a column or table changed; E when a watcher needs it
  'REPLICA_IDENTITY', // W  too little for a watcher since it was changed
  'VALUE_ABSENT', //  W  a value was not sent; thrown at reading it
  'EXISTING_ROWS', // W  existing rows are read again, or cannot be read just now
  'WAL_RETAINED', //  W  the slot holds back much WAL
  'HANDLER_SLOW', //  W  a subscription holds the slot back
  'HANDLER_TIMEOUT', //  an attempt took longer than `timeout`
  'HANDLER_FAILED', //E  `stop` was the policy
  'HANDLER_TRANSACTION', //the handler ended its transaction, or went on after a failed query in it
  'POSITION_REFUSED', //W a position in walwatch.positions is not of the server's history
  'DEAD_LETTER', //   W  a dead letter could not be written; the event is kept
  'PROTOCOL', //      E  bytes that make no sense, or an event that could not be routed: a bug
  'STOPPED', //          the watch has been stopped
  'NOT_STARTED', //   W  it was stopped, or the process has ended, before start() was called
] as const;

/** One of `errorCodes`. */
export type WatchErrorCode = (typeof errorCodes)[number];

/** Where the documentation is: in the package. Replace it by the site's URL once there is one. */
export const documentation = 'walwatch/docs';

/** The section of the error reference about a code. `GAP` is the code of the process warning for the event `gap`. */
export function helpFor(code: WatchErrorCode | 'GAP'): string {
  return `${documentation}/reference/errors.md#${code.toLowerCase()}`;
}

/** Whether walwatch tries again by itself: soon (after 0.1 to 10 s), slowly (after 1 to 60 s), or never. */
export type RetryClass = 'soon' | 'slowly' | 'never';

const retryClasses: Partial<Record<WatchErrorCode, RetryClass>> = {
  CONNECTION: 'soon',
  SERVER_BUSY: 'slowly',
  SERVER_ERROR: 'slowly',
  SLOT_ACTIVE: 'soon',
  SLOT_BLOCKED: 'soon',
};

/** What an error tells besides code and message. */
export interface WatchErrorDetails {
  /** What to do about it: a sentence, a setting or SQL to run. */
  readonly solution?: string | undefined;
  readonly cause?: unknown;
  /** Default: what the code says. */
  readonly retry?: RetryClass | undefined;
}

/**
 * Every error of walwatch. Its message never holds a password or connection string, whatever the server, a file or an option
 * had in it.
 *
 * @example
 * ```ts
 * watch.on('error', (error) => log.fatal({ code: error.code, solution: error.solution }, error.message));
 * ```
 */
export class WatchError extends Error {
  override readonly name: string = 'WatchError';
  readonly code: WatchErrorCode;
  readonly retry: RetryClass;
  readonly solution: string | undefined;
  /** Where the documentation describes this code: a file of the package, and the heading in it. */
  readonly help: string;
  /** PostgreSQL's error, or the handler's. */
  override readonly cause: unknown;

  constructor(code: WatchErrorCode, message: string, { solution, cause, retry }: WatchErrorDetails = {}) {
    super(redact(message));
    this.code = code;
    this.retry = retry ?? retryClasses[code] ?? 'never';
    this.solution = solution;
    this.help = helpFor(code);
    this.cause = cause;
  }
}

/** One problem of a configuration. */
export interface ConfigurationIssue {
  readonly message: string;
  /** What to change: a sentence or the SQL to run. */
  readonly solution: string | undefined;
  readonly watcher?: string;
  readonly table?: string;
  readonly column?: string;
}

/**
 * Options, watchers or database do not fit. `issues` lists every problem at once. The message tells what is the same for many
 * tables once, with the names of a few, and twenty kinds of problems at most.
 *
 * @example
 * ```ts
 * try { await watch.start(); } catch (error) {
 *   if (error instanceof ConfigurationError) for (const issue of error.issues) console.error(issue.message, issue.solution);
 * }
 * ```
 */
export class ConfigurationError extends WatchError {
  override readonly name = 'ConfigurationError';
  declare readonly code: 'CONFIGURATION';
  readonly issues: readonly ConfigurationIssue[];

  constructor(issues: readonly ConfigurationIssue[]) {
    super('CONFIGURATION', issuesText(issues, 20), {
      solution: issues.length === 1 ? issues[0]?.solution : 'Fix every problem listed in `issues`.',
    });
    this.issues = issues;
  }
}

function issueText({ message, solution }: ConfigurationIssue): string {
  return message + (solution === undefined ? '' : `\n    ${solution}`);
}

/** All problems with their solutions, and those that are alike once. `mostKinds`: how many of them are told. */
export function issuesText(issues: readonly ConfigurationIssue[], mostKinds = Infinity): string {
  if (issues.length === 1) return issueText(issues[0]!);
  const kinds = groupAlike(issues, ({ message, watcher, table }) => ({ text: message, names: [watcher, table] }));
  const lines = kinds.slice(0, mostKinds).map(({ first, others }) => {
    if (others.length === 0) return issueText(first);
    const names = others.map(({ watcher, table, message }) => watcher ?? table ?? message);
    return `${issueText(first)}\n    ${othersText(names)}`;
  });
  const untold = kinds.slice(mostKinds).reduce((sum, { others }) => sum + 1 + others.length, 0);
  if (untold > 0) lines.push(`and ${untold} more, see \`issues\``);
  return `${issues.length} problems:\n  - ${lines.join('\n  - ')}`;
}

/** How a message shows what was given, whatever that is. */
export function shown(given: unknown): string {
  // A connection string in the wrong place is one all the same.
  if (typeof given === 'string') return JSON.stringify(redactValue(given));
  return redact(inspect(given, { depth: 1, breakLength: Infinity }));
}

/** What was thrown, as text. Handlers may throw anything, also what does not turn into a string. */
export function thrownText(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return shown(thrown);
  }
}

/** The same with the stack, where there is one. */
export function thrownStack(thrown: unknown): string {
  return (thrown instanceof Error && thrown.stack) || thrownText(thrown);
}

/** Throws a `ConfigurationError` when there are issues. */
export function throwIssues(issues: readonly ConfigurationIssue[]): void {
  if (issues.length > 0) throw new ConfigurationError(issues);
}

/**
 * Bytes of the replication stream that make no sense: a bug of walwatch, or of something between it and PostgreSQL.
 *
 * @example
 * ```ts
 * watch.on('error', (error) => {
 *   if (error instanceof ProtocolError) report(error.messageType, error.offset, error.message);
 * });
 * ```
 */
export class ProtocolError extends WatchError {
  override readonly name = 'ProtocolError';
  declare readonly code: 'PROTOCOL';
  readonly messageType: string;
  readonly offset: number;

  constructor(messageType: string, offset: number, reason: string) {
    super('PROTOCOL', `pgoutput message ${JSON.stringify(messageType)}, offset ${offset}: ${reason}`, {
      solution: 'Nothing was acknowledged past it. Please report this with the PostgreSQL version and the message.',
    });
    this.messageType = messageType;
    this.offset = offset;
  }
}
