import { inspect } from 'node:util';
import { groupAlike, othersText } from './alike.ts';
import { redact, redactValue } from './redaction.ts';

/**
 * The code of every error that a user can meet. W: reported with `warning`. E: ends the watch. R: retried, visible in `disconnected`
 * and `status()`.
 */
export const errorCodes = [
  'CONFIGURATION', // E  options, watchers and database do not fit together: see `issues`
  'UNSUPPORTED', //   E  the server is too old, or something such as a pooler does not support replication
  'CONNECTION', //    R  refused, reset, timed out, silent
  'SERVER_BUSY', //   R  too many connections, starting up, recovering, still a standby: usually retried slowly
  'SERVER_ERROR', //  R  the server refuses a statement for a reason without its own code: retried slowly
  'AUTHENTICATION', //E  password, role, pg_hba.conf, database. R after a first stream, where another attempt may succeed
  'TLS', //           E  refused or not trusted. R after a first stream
  'PERMISSION', //    E  the role lacks a right
  'SLOT_ACTIVE', //   W  another worker has the slot
  'STRAY_SLOT', //    W  no worker reads a slot that looks like an earlier name of this one
  'SLOT_BLOCKED', //  R  creating the slot waits for a transaction
  'SLOT_LOST', //     E  lost, invalidated, dropped
  'SLOT_MOVED', //    E  advanced or re-created by someone else
  'PUBLICATION_LOST', //E  it is missing, or was missing while changes were written: a gap
  'PUBLICATION_CHANGED', // W E  it was re-created, or a watched table was removed from it
  'SYNCHRONOUS_STANDBY', //E  commits would wait for walwatch's acknowledgement
  'STANDBY_BEHIND', // W  events wait for a standby that is down
  'SCHEMA_CHANGED', //W E  a column or table changed; E when a watcher needs it
  'REPLICA_IDENTITY', // W  the table's replica identity does not give what a watcher needs
  'VALUE_ABSENT', //  W  PostgreSQL did not send a value; thrown when it is read
  'ANNOTATION', //    W  a transaction has an annotation that cannot be used
  'EXISTING_ROWS', // W  existing rows are read again, or reading them failed and is retried
  'WAL_RETAINED', //  W  the server keeps a lot of WAL for the slot
  'HANDLER_SLOW', //  W  a subscription keeps the slot from moving
  'HANDLER_TIMEOUT', //  an attempt took longer than `timeout`
  'HANDLER_FAILED', //E  a handler failed, and `onError` says 'stop'
  'HANDLER_TRANSACTION', //the handler ended its transaction, or continued after a failed query in it
  'MESSAGE_INVALID', //  an outbox message is not what emit() writes: something else wrote it
  'POSITION_REFUSED', //W a position in walwatch.positions does not belong to this server's history
  'DEAD_LETTER', //   W  a dead letter could not be written; the event is kept
  'PROTOCOL', //      E  bytes that make no sense, or an event that could not be routed: a bug
  'STOPPED', //          the watch was stopped
  'NOT_STARTED', //   W  the watch was stopped, or the process ended, before start() was called
] as const;

/** One of `errorCodes`. */
export type WatchErrorCode = (typeof errorCodes)[number];

/** Where the documentation is: in the package. Replace it by the site's URL once there is one. */
export const documentation = 'walwatch/docs';

/** The section of the error reference about a code. `GAP` is the code of the process warning for the event `gap`. */
export function helpFor(code: WatchErrorCode | 'GAP'): string {
  return `${documentation}/reference/errors.md#${code.toLowerCase()}`;
}

/** Whether walwatch tries again: soon (after 0.1 to 10 s), slowly (after 1 to 60 s), or never. */
export type RetryClass = 'soon' | 'slowly' | 'never';

const retryClasses: Partial<Record<WatchErrorCode, RetryClass>> = {
  CONNECTION: 'soon',
  SERVER_BUSY: 'slowly',
  SERVER_ERROR: 'slowly',
  SLOT_ACTIVE: 'soon',
  SLOT_BLOCKED: 'soon',
};

/** What an error has in addition to code and message. */
export interface WatchErrorDetails {
  /** What to do: a sentence, a setting or SQL to run. */
  readonly solution?: string | undefined;
  readonly cause?: unknown;
  /** Default: what the code implies. */
  readonly retry?: RetryClass | undefined;
}

/**
 * Every error that walwatch reports or throws. Its message never contains a password or a connection string, even if the server, a
 * file or an option did.
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
  /** The error of PostgreSQL, of Node or of the handler. */
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

/** One problem with the configuration. */
export interface ConfigurationIssue {
  readonly message: string;
  /** What to change: a sentence or the SQL to run. */
  readonly solution: string | undefined;
  readonly watcher?: string;
  readonly table?: string;
  readonly column?: string;
}

/**
 * Options, watchers and database do not fit together. `issues` lists every problem at once. The message groups problems that differ
 * only in their table, names a few of the tables, and shows at most twenty groups.
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

/** All problems with their solutions, grouped by `groupAlike`. `mostKinds`: the maximum number of groups. */
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

/** A value as messages show it, without secrets. */
export function shown(given: unknown): string {
  // Users put connection strings into other options, too.
  if (typeof given === 'string') return JSON.stringify(redactValue(given));
  return redact(inspect(given, { depth: 1, breakLength: Infinity }));
}

/** A thrown value as text. Handlers may throw anything, even values that cannot be turned into a string. */
export function thrownText(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return shown(thrown);
  }
}

/** The same with the stack, if there is one. */
export function thrownStack(thrown: unknown): string {
  return (thrown instanceof Error && thrown.stack) || thrownText(thrown);
}

/** Throws a `ConfigurationError` when there are issues. */
export function throwIssues(issues: readonly ConfigurationIssue[]): void {
  if (issues.length > 0) throw new ConfigurationError(issues);
}

/**
 * Bytes of the replication stream that make no sense: a bug in walwatch, or in something between it and PostgreSQL.
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
