import type { Client } from 'pg';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import { escaped, isPlain } from '../printable.ts';

/** What walwatch reads about the server at every connection. */
export interface Server {
  /** 17 for PostgreSQL 17.4. */
  readonly major: number;
  readonly walLevel: string;
  /** PostgreSQL 19 and newer: with `wal_level = replica` it becomes `logical` with the first logical slot. Undefined in older versions. */
  readonly effectiveWalLevel: string | undefined;
  /** Milliseconds. 0: no timeout. */
  readonly walSenderTimeout: number;
  /** Bytes. Undefined: no limit. */
  readonly maxSlotWalKeepSize: number | undefined;
  readonly synchronousStandbyNames: string;
  readonly inRecovery: boolean;
  readonly systemIdentifier: string;
  readonly database: string;
  readonly databaseOid: number;
  readonly role: string;
  readonly mayReplicate: boolean;
  /** Distinguishes servers that have the same address or system identifier. */
  readonly startedAt: string;
}

/** An SQL expression for `startedAt`. */
export const serverStart = `pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::text`;

/** PostgreSQL's features, and the major version that introduced each. The only place that knows versions. */
export const since = {
  oldest: 14,
  /** `invalidation_reason` in pg_replication_slots. */
  invalidationReason: 17,
  /** `inactive_since` in pg_replication_slots. */
  inactiveSince: 17,
  /** The `origin` option of pgoutput. */
  origin: 16,
  /** Synchronized slots. */
  failover: 17,
  /** A missing publication is ignored silently. In older versions decoding fails. */
  silentPublications: 18,
  /** `publish_generated_columns` of publications. */
  generatedColumns: 18,
  /** Column lists and row filters of publications, and publications of schemas. */
  columnLists: 15,
  /** Logical decoding on a standby. */
  standbyDecoding: 16,
  /** ALTER_REPLICATION_SLOT changes `two_phase`. */
  alterTwoPhase: 18,
  /** A logical slot turns logical decoding on where wal_level is `replica`. */
  decodingOnDemand: 19,
} as const;

/** @throws WatchError UNSUPPORTED */
export async function readServer(client: Client): Promise<Server> {
  const { rows } = await client.query(`
    select pg_catalog.current_setting('server_version_num')::int / 10000 as major,
           pg_catalog.current_setting('wal_level') as wal_level,
           pg_catalog.current_setting('effective_wal_level', true) as effective_wal_level,
           pg_catalog.current_setting('synchronous_standby_names') as synchronous_standby_names,
           (select setting::int from pg_catalog.pg_settings where name = 'wal_sender_timeout') as wal_sender_timeout,
           (select setting::float8 from pg_catalog.pg_settings where name = 'max_slot_wal_keep_size') as max_slot_wal_keep_megabytes,
           pg_catalog.pg_is_in_recovery() as in_recovery,
           (select system_identifier::text from pg_catalog.pg_control_system()) as system_identifier,
           pg_catalog.current_database() as database,
           (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()) as database_oid,
           ${serverStart} as started_at,
           current_user as role,
           -- managed services grant the right through a role
           (select rolsuper or rolreplication from pg_catalog.pg_roles where rolname = current_user)
             or exists (select from pg_catalog.pg_roles where rolname in ('rds_replication', 'rds_superuser')
                        and pg_catalog.pg_has_role(current_user, oid, 'member')) as may_replicate`);
  const row = rows[0];
  const major: number = row.major;
  if (major < since.oldest) {
    throw new WatchError('UNSUPPORTED', `the server is PostgreSQL ${major}; walwatch needs ${since.oldest} or newer`, {
      solution: `Upgrade the server to PostgreSQL ${since.oldest} or newer.`,
    });
  }
  return {
    major,
    walLevel: row.wal_level,
    effectiveWalLevel: row.effective_wal_level ?? undefined,
    walSenderTimeout: row.wal_sender_timeout,
    maxSlotWalKeepSize: row.max_slot_wal_keep_megabytes < 0 ? undefined : row.max_slot_wal_keep_megabytes * 1024 * 1024,
    synchronousStandbyNames: row.synchronous_standby_names,
    inRecovery: row.in_recovery,
    systemIdentifier: row.system_identifier,
    database: row.database,
    databaseOid: row.database_oid,
    role: row.role,
    mayReplicate: row.may_replicate,
    startedAt: row.started_at,
  };
}

/** Whether the server can decode its WAL: now, or as soon as there is a logical slot. */
export function canDecode({ major, walLevel, effectiveWalLevel, inRecovery }: Server): boolean {
  if ((effectiveWalLevel ?? walLevel) === 'logical') return true;
  // A standby follows its primary: only a slot on the primary turns decoding on.
  return major >= since.decodingOnDemand && walLevel === 'replica' && !inRecovery;
}

/** The server's settings that do not fit the options. */
export function serverIssues(
  server: Server,
  options: { readonly origin: 'any' | 'none'; readonly slot: { readonly failover: boolean } },
): ConfigurationIssue[] {
  const issues: ConfigurationIssue[] = [];
  if (!canDecode(server)) {
    const onDemand = server.major >= since.decodingOnDemand;
    issues.push({
      message: `wal_level is '${server.walLevel}', but logical decoding needs 'logical'${onDemand ? " or 'replica', and on a standby a logical slot on its primary" : ''}`,
      solution:
        "ALTER SYSTEM SET wal_level = 'logical'; then restart the server (on managed services: a parameter, e.g. rds.logical_replication = 1).",
    });
  }
  if (!server.mayReplicate) {
    issues.push({
      message: `role '${server.role}' lacks REPLICATION`,
      solution: `ALTER ROLE ${quoteIdentifier(server.role)} REPLICATION; or, on Amazon RDS: GRANT rds_replication TO ${quoteIdentifier(server.role)};`,
    });
  }
  if (options.origin === 'none' && server.major < since.origin) {
    issues.push({
      message: `origin: 'none' needs PostgreSQL ${since.origin}, but the server is ${server.major}`,
      solution: "Leave origin out, or set it to 'any'.",
    });
  }
  if (options.slot.failover && server.major < since.failover) {
    issues.push({
      message: `slot.failover needs PostgreSQL ${since.failover}, but the server is ${server.major}`,
      solution: 'Remove it. After a failover the slot is then lost, which SLOT_LOST reports.',
    });
  }
  if (server.inRecovery && server.major < since.standbyDecoding) {
    issues.push({
      message: `the server is a standby; PostgreSQL ${server.major} decodes only on the primary`,
      solution: `Connect to the primary, or use PostgreSQL ${since.standbyDecoding} or newer.`,
    });
  }
  return issues;
}

/**
 * Whether commits would wait for a walsender with this name. Names match regardless of case; `*` matches all.
 * https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES
 */
export function isSynchronousStandby(synchronousStandbyNames: string, applicationName: string): boolean {
  const list =
    /^\s*(?:(?:first|any)\s+\d+|\d+)\s*\((.*)\)\s*$/is.exec(synchronousStandbyNames)?.[1] ?? synchronousStandbyNames;
  const names = list.match(/"(?:[^"]|"")*"|[^",\s]+/g) ?? [];
  // PostgreSQL truncates application_name to 63 bytes (NAMEDATALEN - 1).
  const own = Buffer.from(applicationName).subarray(0, 63).toString().toLowerCase();
  const unquoted = names.map((name) => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name));
  return unquoted.some((name) => name === '*' || name.toLowerCase() === own); // a quoted * matches all, too
}

/**
 * An identifier as SQL. Control characters are written as escapes, so that a name can neither control the terminal on which a
 * message or script is printed, nor start a line in it.
 */
export function quoteIdentifier(name: string): string {
  if (isPlain(name)) return quoteVerbatim(name);
  return `U&${quoteVerbatim(escaped(name.replaceAll('\\', '\\\\'), (digits) => `\\${digits}`))}`;
}

/** The same without escapes: for lists of names in options, which only the server reads and which have no escapes. */
export function quoteVerbatim(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string as SQL, with escapes as in names. The leading space separates it from a word before it, as in pg's escapeLiteral(). */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  if (isPlain(text) && !text.includes('\\')) return quoted;
  return ` E${escaped(quoted.replaceAll('\\', '\\\\'), (digits) => `\\u${digits}`)}`;
}

export function quoteTable(table: { readonly schema: string; readonly name: string }): string {
  return `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`;
}
