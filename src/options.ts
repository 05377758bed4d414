import type { ClientConfig } from 'pg';
import type { OnError } from './types/delivery.ts';
import { type ConfigurationIssue, shown, throwIssues } from './errors.ts';
import { unknownKeys } from './option-names.ts';
import { type ConnectionConfig, resolveConnection, unnamedServer } from './postgres/connection-config.ts';
import type { Logger } from './types/logger.ts';
import type { Watchers } from './types/watchers.ts';

/** A replication slot: durable and named, or temporary. */
export type SlotOptions =
  | {
      readonly name: string;
      /** What to do when another worker has the slot: `'wait'` (default) until it is free, or `'terminate'` the other
       *  worker's session. A worker that lost the slot to another one always waits. */
      readonly takeover?: 'wait' | 'terminate';
      /** What to do when the slot is lost: `'stop'` with `SLOT_LOST` (default), or `'recreate'` it and emit `gap`. */
      readonly onLost?: 'stop' | 'recreate';
      /** Synchronizes the slot to standbys, so that it survives a failover (PostgreSQL 17+). Default false. */
      readonly failover?: boolean;
      readonly temporary?: false;
    }
  /** For live use only: the server drops the slot with the connection, and each reconnect is a `gap`. */
  | { readonly temporary: true; readonly name?: string };

/** The publication, if it needs more than the default name. */
export interface PublicationOptions {
  /** Default: the slot's name. */
  readonly name?: string;
  /** Makes the server send only the columns that the watchers need (PostgreSQL 15+; not with REPLICA IDENTITY FULL). Default false,
   *  because a column list blocks `DROP COLUMN` and `ALTER TYPE` in migrations. A migration with one of these, or one that changes the
   *  replica identity, must first remove the list; the next start of a worker adds it again. If it changes to REPLICA IDENTITY FULL
   *  without removing the list, PostgreSQL refuses the application's own updates and deletes.
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

/** Options of `createWatch`. Sizes are in bytes, times in milliseconds.
 *
 *  @example
 *  ```ts
 *  const watch = createWatch({ connection: process.env.DATABASE_URL, slot: 'accounts_worker', watchers, logger: pino() });
 *  ``` */
export interface WatchOptions<W extends Watchers = Watchers> {
  /** A URL or pg's configuration for a direct connection, without a pooler. Default: `DATABASE_URL`, then the `PG*` variables. Its
   *  `types` parse the values of events. Not a client or pool: walwatch opens its own sessions. */
  readonly connection?: string | ConnectionConfig | undefined;
  /** The name of a durable slot, or its options. One slot for each worker that must see every change. */
  readonly slot: string | SlotOptions;
  /** The publication's name. Default: the slot's name. */
  readonly publication?: string | PublicationOptions;
  /** What `defineWatchers` returned. */
  readonly watchers: W;
  /** `'create'` (default) creates and alters slot and publication. `'verify'` only checks them: the error contains the SQL to run. */
  readonly manage?: 'create' | 'verify';
  /** `'committed'` (default) delivers an event once other sessions can see its row. `'immediate'` does not wait for that. */
  readonly visibility?: 'committed' | 'immediate';
  /** Default for all subscriptions. Default `'retry'`. */
  readonly onError?: OnError;
  /** `'none'` leaves out changes that were themselves replicated (PostgreSQL 16+). Default `'any'`. */
  readonly origin?: 'any' | 'none';
  /** Milliseconds between heartbeats (`pg_logical_emit_message`). They test the whole path and move the slot of an idle database. Default: none. */
  readonly heartbeat?: number;
  /** Warns with `WAL_RETAINED` when the server keeps this many bytes of WAL for the slot. Default: 80 % of `max_slot_wal_keep_size`, if that is set. */
  readonly retainedWalWarning?: number;
  /** Reading pauses while undelivered changes use more memory than this. Bytes, default 16 MiB. */
  readonly highWaterMark?: number;
  /** Milliseconds until a connection attempt fails. Default 10 000. */
  readonly connectTimeout?: number;
  /** Milliseconds that `stop()` waits for running handlers. Default 10 000. */
  readonly stopTimeout?: number;
  /** pino, or an object with its methods. Default: what must be known and has no listener goes to `process.emitWarning`. `false`: nothing. */
  readonly logger?: Logger | false;
  /** `debug` for all watchers. Default false. */
  readonly debug?: boolean;
}

/**
 * For `walwatch.config.ts`, which the command line reads. Returns its argument.
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

/** Milliseconds. Node turns longer timeouts into 1 ms. */
export const longestTimeout = 2 ** 31 - 1;

/** Fills in the defaults. @throws ConfigurationError with every problem that can be found without the database. */
export function resolveOptions(options: WatchOptions): ResolvedOptions {
  const issues: ConfigurationIssue[] = [];
  const check = (right: boolean, option: string, given: unknown, expected: string) => {
    if (!right) issues.push({ message: `${option} must be ${expected}, not ${shown(given)}`, solution: undefined });
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
  check(manage === 'create' || manage === 'verify', 'manage', manage, "'create' or 'verify'");
  check(
    visibility === 'committed' || visibility === 'immediate',
    'visibility',
    visibility,
    "'committed' or 'immediate'",
  );
  check(origin === 'any' || origin === 'none', 'origin', origin, "'any' or 'none'");
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
      name,
      value,
      bytes ? 'a number of bytes, 0 or more' : `a number of milliseconds from 0 to ${longestTimeout}`,
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

/** Problems with `watchers` that do not depend on its entries. */
export function watchersIssues(given: unknown): ConfigurationIssue[] {
  if (typeof given === 'function')
    return [
      {
        message: 'watchers is a function: pass the list in a second call of defineWatchers<DB>()',
        solution: "defineWatchers<DB>()([['users', 'updated'], …])",
      },
    ];
  if (Array.isArray((given as Watchers | null | undefined)?.entries)) return [];
  return [{ message: 'watchers is missing', solution: 'Pass what defineWatchers([…]) returns.' }];
}

/** Problems with a `logger`. */
export function loggerIssues(logger: Logger | false | undefined): ConfigurationIssue[] {
  const right =
    logger === undefined ||
    logger === false ||
    (['debug', 'info', 'warn', 'error'] as const).every((level) => typeof logger?.[level] === 'function');
  if (right) return [];
  return [
    {
      message: 'logger lacks one of the methods debug, info, warn and error',
      solution: "Pass pino's logger, an object with these methods, or false to log nothing.",
    },
  ];
}

/** Problems with an `onError`. */
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
      message: `onError must be 'retry', { attempts, then } or a function, not ${shown(onError)}`,
      solution: "For example onError: { attempts: 5, then: 'stop' }. then is 'stop', 'skip' or 'deadLetter'.",
    },
  ];
}

// https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION
const slotName = /^[a-z0-9_]{1,63}$/;

/** Prefix of the names of temporary slots. A publication with this prefix belongs to one of them. */
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
  // Each watch gets its own temporary slot: two live pages of one process must not take each other's.
  const name =
    options.name ?? (temporary ? `${livePrefix}${process.pid}_${Math.random().toString(36).slice(2, 8)}` : undefined);
  if (typeof name !== 'string' || !slotName.test(name)) {
    issues.push({
      message: name === undefined ? 'slot is missing' : `${shown(name)} is not a valid name for a replication slot`,
      solution:
        "Use at most 63 lower-case letters, digits and underscores: slot: 'accounts_worker'. For live use only: slot: { temporary: true }.",
    });
  }
  const onLost = options.onLost ?? 'stop';
  if (onLost !== 'stop' && onLost !== 'recreate')
    issues.push({ message: `slot.onLost must be 'stop' or 'recreate', not ${shown(onLost)}`, solution: undefined });
  const takeover = options.takeover ?? 'wait';
  if (takeover !== 'wait' && takeover !== 'terminate')
    issues.push({
      message: `slot.takeover must be 'wait' or 'terminate', not ${shown(takeover)}`,
      solution: undefined,
    });
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
    issues.push({
      message: `publication.columnLists must be true or false, not ${shown(columnLists)}`,
      solution: undefined,
    });
  const name: unknown = typeof given === 'object' ? ((given as PublicationOptions).name ?? slot) : given;
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > 63 || name.includes('\0')) {
    if (publication === undefined) return { name: slot, columnLists: false }; // the slot's name, which is already reported
    issues.push({
      message: `${shown(name)} is not a valid name for a publication`,
      solution: 'Use a name of 1 to 63 bytes.',
    });
  }
  return { name: name as string, columnLists: columnLists === true };
}
