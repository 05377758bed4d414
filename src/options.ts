import type { ClientConfig } from 'pg';
import type { OnError } from './types/delivery.ts';
import { type ConfigurationIssue, shown, throwIssues } from './errors.ts';
import { unknownKeys } from './option-names.ts';
import { type ConnectionConfig, resolveConnection, unnamedServer } from './postgres/connection-config.ts';
import type { Logger } from './types/logger.ts';
import type { Watchers } from './types/watchers.ts';

/** A replication slot: durable by name, or temporary. */
export type SlotOptions =
  | {
      readonly name: string;
      /** What to do when another worker holds the slot: `'wait'` as its standby (default), or end its session.
       *  A worker that has lost the slot to another one waits in any case. */
      readonly takeover?: 'wait' | 'terminate';
      /** What to do when the slot is lost: stop with `SLOT_LOST` (default), or make a new one and tell the `gap`. */
      readonly onLost?: 'stop' | 'recreate';
      /** Synchronises the slot to standbys (PostgreSQL 17+). Default false. */
      readonly failover?: boolean;
      readonly temporary?: false;
    }
  /** Live only: dropped with the connection, each reconnect is a `gap`. */
  | { readonly temporary: true; readonly name?: string };

/** The publication, when its name is not the slot's. */
export interface PublicationOptions {
  /** Default: the slot's name. */
  readonly name?: string;
  /** Lets the server send only the columns that are needed (PostgreSQL 15+, identity not FULL). Default false: a list
   *  blocks `DROP COLUMN` and `ALTER TYPE` in migrations. A migration that needs one of these, or changes the replica
   *  identity, first takes the list away; the next start of a worker sets it again. Without the first statement, a change
   *  to REPLICA IDENTITY FULL makes PostgreSQL refuse the application's own updates and deletes.
   *  @example
   *  ```sql
   *  BEGIN;
   *  ALTER PUBLICATION accounts_worker DROP TABLE ONLY users;
   *  ALTER PUBLICATION accounts_worker ADD TABLE ONLY users; -- with WHERE (…), if the watchers of users have a `where`
   *  ALTER TABLE users DROP COLUMN nickname;
   *  COMMIT;
   *  ``` */
  readonly columnLists?: boolean;
}

/** Options of `createWatch`. Sizes are bytes, times milliseconds. */
export interface WatchOptions<W extends Watchers = Watchers> {
  /** URL or pg's configuration, of a direct connection (no pooler). Default: `DATABASE_URL`, then `PG*`. `types` parse the values of events.
   *  Not a client or pool: walwatch opens its own sessions. */
  readonly connection?: string | ConnectionConfig | undefined;
  /** A string is a durable slot's name. */
  readonly slot: string | SlotOptions;
  /** Name, default the slot's. */
  readonly publication?: string | PublicationOptions;
  readonly watchers: W;
  /** `'create'` (default) makes and alters slot and publication; `'verify'` only checks, the error holds the SQL to run. */
  readonly manage?: 'create' | 'verify';
  /** `'committed'` (default): events wait until other sessions can see the row. `'immediate'`: they do not. */
  readonly visibility?: 'committed' | 'immediate';
  /** Default of all subscriptions. Default `'retry'`. */
  readonly onError?: OnError;
  /** `'none'` leaves out what was itself replicated (PostgreSQL 16+). Default `'any'`. */
  readonly origin?: 'any' | 'none';
  /** Milliseconds between `pg_logical_emit_message` heartbeats, which prove the way end to end and move an idle slot. Default: none. */
  readonly heartbeat?: number;
  /** Bytes of WAL held back by the slot, from which on `WAL_RETAINED` warns. Default: 80 % of `max_slot_wal_keep_size`, if that is set. */
  readonly retainedWalWarning?: number;
  /** Bytes of undelivered changes above which reading pauses. Default 16 MiB. */
  readonly highWaterMark?: number;
  /** Milliseconds. Default 10 000. */
  readonly connectTimeout?: number;
  /** Milliseconds that `stop()` waits for running handlers. Default 10 000. */
  readonly stopTimeout?: number;
  /** pino or pino-shaped. Default: what somebody must know, and nobody listens for, is told by `process.emitWarning`; `false`: nothing. */
  readonly logger?: Logger | false;
  /** `debug` for all watchers. Default false. */
  readonly debug?: boolean;
}

/**
 * For `walwatch.config.ts`, which the command line reads: returns its argument.
 *
 * @example
 * ```ts
 * export default defineConfig({ connection: process.env.DATABASE_URL, slot: 'accounts_worker', watchers });
 * ```
 */
export function defineConfig<W extends Watchers>(options: WatchOptions<W>): WatchOptions<W> {
  return options;
}

/** `WatchOptions` with every default filled in. */
export interface ResolvedOptions {
  readonly connection: ClientConfig;
  readonly slot: {
    readonly name: string;
    readonly temporary: boolean;
    readonly takeover: 'wait' | 'terminate';
    readonly onLost: 'stop' | 'recreate';
    readonly failover: boolean;
  };
  readonly publication: { readonly name: string; readonly columnLists: boolean };
  readonly manage: 'create' | 'verify';
  readonly visibility: 'committed' | 'immediate';
  readonly onError: OnError;
  readonly origin: 'any' | 'none';
  readonly heartbeat: number | undefined;
  readonly retainedWalWarning: number | undefined;
  readonly highWaterMark: number;
  readonly connectTimeout: number;
  readonly stopTimeout: number;
  readonly debug: boolean;
}

const known = [
  'connection', 'slot', 'publication', 'watchers', 'manage', 'visibility', 'onError', 'origin', 'heartbeat', 'retainedWalWarning',
  'highWaterMark', 'connectTimeout', 'stopTimeout', 'logger', 'debug',
] as const satisfies readonly (keyof WatchOptions)[]; // prettier-ignore

/** Milliseconds. Node turns longer ones into 1 ms. */
export const longestTimeout = 2 ** 31 - 1;

/** Fills in the defaults. @throws ConfigurationError with every problem that shows without asking the database. */
export function resolveOptions(options: WatchOptions): ResolvedOptions {
  const issues: ConfigurationIssue[] = [];
  const check = (right: boolean, message: string, solution?: string) => {
    if (!right) issues.push({ message, solution });
  };
  if (typeof options !== 'object' || options === null) {
    throwIssues([
      { message: 'createWatch() takes an object of options', solution: "createWatch({ slot: 'my_worker', watchers })" },
    ]);
  }
  unknownKeys(options, known, 'option', issues);

  const slot = resolveSlot(options.slot, issues);
  const publication = resolvePublication(options.publication, slot.name, issues);
  const {
    manage = 'create',
    visibility = 'committed',
    onError = 'retry',
    origin = 'any',
    heartbeat,
    retainedWalWarning,
  } = options;
  check(manage === 'create' || manage === 'verify', "manage is 'create' or 'verify'");
  check(visibility === 'committed' || visibility === 'immediate', "visibility is 'committed' or 'immediate'");
  check(origin === 'any' || origin === 'none', "origin is 'any' or 'none'");
  issues.push(...onErrorIssues(onError));
  issues.push(...watchersIssues(options.watchers));
  const { highWaterMark = 16 * 1024 * 1024, connectTimeout = 10_000, stopTimeout = 10_000, debug = false } = options;
  for (const [name, value] of Object.entries({
    highWaterMark,
    connectTimeout,
    stopTimeout,
    heartbeat,
    retainedWalWarning,
  })) {
    const bytes = name === 'highWaterMark' || name === 'retainedWalWarning';
    check(
      value === undefined || (typeof value === 'number' && value >= 0 && (bytes || value <= longestTimeout)),
      `${name} is a number of ${bytes ? 'bytes' : 'milliseconds'}, 0 or more`,
      bytes ? undefined : `At most ${longestTimeout}.`,
    );
  }
  issues.push(...loggerIssues(options.logger));
  const others = issues.length;
  const given = options.connection ?? process.env['DATABASE_URL'];
  const connection = resolveConnection(given ?? {}, issues);
  if (issues.length === others) issues.push(...unnamedServer(given, connection));
  throwIssues(issues);
  return {
    connection, slot, publication, manage, visibility, onError, origin, heartbeat, retainedWalWarning, highWaterMark, connectTimeout, stopTimeout, debug,
  }; // prettier-ignore
}

/** What is wrong with `watchers`, whatever is in their list. */
export function watchersIssues(given: unknown): ConfigurationIssue[] {
  if (typeof given === 'function')
    return [
      {
        message: 'watchers is a function: defineWatchers<DB>() takes the list in a second call',
        solution: "defineWatchers<DB>()([['users', 'updated'], …])",
      },
    ];
  if (Array.isArray((given as Watchers | null | undefined)?.entries)) return [];
  return [{ message: 'watchers is missing', solution: 'Pass what defineWatchers([…]) returned.' }];
}

/** What is wrong with a `logger`. */
export function loggerIssues(logger: Logger | false | undefined): ConfigurationIssue[] {
  const right =
    logger === undefined ||
    logger === false ||
    (['debug', 'info', 'warn', 'error'] as const).every((level) => typeof logger?.[level] === 'function');
  if (right) return [];
  return [
    {
      message: 'logger has no debug, info, warn and error methods',
      solution: "Pass pino's logger, or an object of that shape; or false for silence.",
    },
  ];
}

/** What is wrong with an `onError`. */
export function onErrorIssues(onError: OnError): ConfigurationIssue[] {
  const attempts = typeof onError === 'object' && onError !== null ? onError.attempts : 1;
  const then = typeof onError === 'object' && onError !== null ? onError.then : undefined;
  const right =
    onError === 'retry' ||
    typeof onError === 'function' ||
    (Number.isInteger(attempts) && attempts >= 1 && (then === 'stop' || then === 'skip' || then === 'deadLetter'));
  const issues: ConfigurationIssue[] = [];
  if (typeof onError === 'object' && onError !== null)
    unknownKeys(onError, ['attempts', 'then'], 'option of onError', issues);
  if (right || issues.length > 0) return issues;
  return [
    {
      message: 'onError is none of its forms',
      solution: "'retry', { attempts: 5, then: 'stop' | 'skip' | 'deadLetter' } or a function.",
    },
  ];
}

// https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION
const slotName = /^[a-z0-9_]{1,63}$/;

/** Begins the names that temporary slots get, and with them the publications that are theirs alone. */
export const livePrefix = 'walwatch_live_';

function resolveSlot(slot: WatchOptions['slot'], issues: ConfigurationIssue[]): ResolvedOptions['slot'] {
  const given: unknown = slot;
  const object = typeof given === 'object' && given !== null;
  if (object) unknownKeys(given, ['name', 'temporary', 'takeover', 'onLost', 'failover'], 'slot option', issues);
  const options = (object ? given : { name: given }) as Record<
    'name' | 'temporary' | 'takeover' | 'onLost' | 'failover',
    unknown
  >;
  const temporary = options.temporary === true;
  // One temporary slot for each watch: two live pages of one process must not take each other's.
  const name =
    options.name ?? (temporary ? `${livePrefix}${process.pid}_${Math.random().toString(36).slice(2, 8)}` : undefined);
  if (typeof name !== 'string' || !slotName.test(name)) {
    issues.push({
      message: name === undefined ? 'slot is missing' : `${shown(name)} is no name for a replication slot`,
      solution:
        "Lower-case letters, digits and underscores, at most 63: slot: 'accounts_worker'. For live use only: slot: { temporary: true }.",
    });
  }
  const onLost = options.onLost ?? 'stop';
  if (onLost !== 'stop' && onLost !== 'recreate')
    issues.push({ message: "slot.onLost is 'stop' or 'recreate'", solution: undefined });
  const takeover = options.takeover ?? 'wait';
  if (takeover !== 'wait' && takeover !== 'terminate')
    issues.push({ message: "slot.takeover is 'wait' or 'terminate'", solution: undefined });
  return {
    name: name as string,
    temporary,
    takeover,
    onLost,
    failover: options.failover === true,
  } as ResolvedOptions['slot'];
}

function resolvePublication(
  publication: WatchOptions['publication'],
  slot: string,
  issues: ConfigurationIssue[],
): ResolvedOptions['publication'] {
  const given: unknown = publication ?? {};
  if (typeof given === 'object') unknownKeys(given as object, ['name', 'columnLists'], 'publication option', issues);
  const { columnLists = false } = (typeof given === 'object' ? given : {}) as { columnLists?: unknown };
  if (typeof columnLists !== 'boolean')
    issues.push({ message: 'publication.columnLists is true or false', solution: undefined });
  const name: unknown = typeof given === 'object' ? ((given as PublicationOptions).name ?? slot) : given;
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > 63 || name.includes('\0')) {
    if (publication === undefined) return { name: slot, columnLists: false }; // the slot's name, which is reported already
    issues.push({
      message: `${shown(name)} is no name for a publication`,
      solution: 'A name of 1 to 63 bytes.',
    });
  }
  return { name: name as string, columnLists: columnLists === true };
}
