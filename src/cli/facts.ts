import type { Client } from 'pg';
import { quoteLiteral } from '../postgres/server.ts';
import { oneLine } from '../printable.ts';
import { providerRoles } from './providers.ts';

/** Facts about the server that only the doctor needs. */
export interface ServerFacts {
  readonly version: string;
  readonly slots: number;
  readonly maxSlots: number;
  readonly walsenders: number;
  readonly maxWalsenders: number;
  /** Those of `providerRoles` that exist. */
  readonly roles: readonly string[];
  readonly mayCreate: boolean;
  /** Queries are answered by another process than the one named at connect: there is a pooler. */
  readonly pooled: boolean;
  /** Undefined: unencrypted. */
  readonly tls: string | undefined;
  /** Over a socket of this machine. */
  readonly local: boolean;
  /** The watched tables that the role does not own. */
  readonly foreignTables: readonly string[];
  /** Undefined: the publication does not exist. */
  readonly ownsPublication: boolean | undefined;
  readonly transactions: readonly LongTransaction[];
  /** Whether other roles' transactions can be seen. */
  readonly seesOthers: boolean;
  /** default_transaction_read_only */
  readonly readOnly: boolean;
  /** Sessions that can still be opened after ours has ended. Undefined: no limit. */
  readonly freeConnections: number | undefined;
  readonly roleConnections: number | undefined;
  readonly databaseConnections: number | undefined;
  /** Tables that inherit from watched ones and are not partitions. */
  readonly heirs: readonly Heir[];
}

interface Heir {
  /** OID of the watched table. */
  readonly parent: number;
  readonly schema: string;
  readonly name: string;
}

interface LongTransaction {
  /** `pid 42 (psql)` or `prepared transaction 'x'` */
  readonly who: string;
  readonly seconds: number;
  /** The statement that ends it. */
  readonly end: string;
}

export async function readFacts(
  client: Client,
  tableOids: readonly number[],
  publication: string,
  long = longSeconds,
): Promise<ServerFacts> {
  const { rows } = await client.query(
    `select pg_catalog.current_setting('server_version') as version,
            (select count(*)::int from pg_catalog.pg_replication_slots) as slots,
            pg_catalog.current_setting('max_replication_slots')::int as "maxSlots",
            (select count(*)::int from pg_catalog.pg_stat_replication) as walsenders,
            pg_catalog.current_setting('max_wal_senders')::int as "maxWalsenders",
            (select coalesce(pg_catalog.json_agg(rolname), '[]') from pg_catalog.pg_roles where rolname = any ($1)) as roles,
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') as "mayCreate",
            pg_catalog.pg_backend_pid() as pid,
            (select case when ssl then version || ', ' || cipher end from pg_catalog.pg_stat_ssl
             where pid = pg_catalog.pg_backend_pid()) as tls,
            coalesce(pg_catalog.inet_client_addr() <<= '127.0.0.0/8' or pg_catalog.inet_client_addr() = '::1', true) as local,
            (select coalesce(pg_catalog.json_agg(c.oid::pg_catalog.regclass::text order by c.oid), '[]') from pg_catalog.pg_class c
             where c.oid = any ($2::pg_catalog.oid[]) and not pg_catalog.pg_has_role(c.relowner, 'USAGE')) as "foreignTables",
            (select pg_catalog.pg_has_role(pubowner, 'USAGE') from pg_catalog.pg_publication where pubname = $3) as "ownsPublication",
            pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') as "seesOthers",
            pg_catalog.current_setting('default_transaction_read_only') = 'on' as "readOnly",
            ${connectionsLeft},
            (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('parent', p.oid::int8, 'schema', n.nspname, 'name', h.relname)
                                                 order by h.oid), '[]')
             from pg_catalog.pg_class p join pg_catalog.pg_inherits i on i.inhparent = p.oid join pg_catalog.pg_class h on h.oid = i.inhrelid
             join pg_catalog.pg_namespace n on n.oid = h.relnamespace
             where p.oid = any ($2::pg_catalog.oid[]) and p.relkind = 'r') as heirs,
            (select coalesce(pg_catalog.json_agg(t order by t.seconds desc), '[]') from (${longTransactions(long)}) t) as transactions`,
    [providerRoles, tableOids, publication],
  );
  const { pid, tls, ownsPublication, transactions, ...facts } = rows[0];
  const { freeConnections, roleConnections, databaseConnections } = facts;
  const { processID } = client as unknown as { processID: number };
  return {
    ...facts,
    pooled: pid !== processID,
    tls: tls ?? undefined,
    ownsPublication: ownsPublication ?? undefined,
    freeConnections: freeConnections ?? undefined,
    roleConnections: roleConnections ?? undefined,
    databaseConnections: databaseConnections ?? undefined,
    transactions: transactions.map(longTransaction),
  };
}

/** Not a walsender or a server process, as far as this role can see. */
const ordinary = `datid is not null and coalesce(backend_type, 'client backend') = 'client backend'`;

/** Limits do not apply to superusers. This session is not counted: it has ended when the worker starts. */
const connectionsLeft = `
  (select case when not r.rolsuper then
            pg_catalog.current_setting('max_connections')::int - pg_catalog.current_setting('superuser_reserved_connections')::int
            - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0)
            - (select count(*)::int from pg_catalog.pg_stat_activity where ${ordinary}) + 1 end
   from pg_catalog.pg_roles r where r.rolname = current_user) as "freeConnections",
  (select r.rolconnlimit - (select count(*)::int from pg_catalog.pg_stat_activity a where a.usesysid = r.oid and ${ordinary}) + 1
   from pg_catalog.pg_roles r where r.rolname = current_user and r.rolconnlimit >= 0 and not r.rolsuper) as "roleConnections",
  (select d.datconnlimit - (select count(*)::int from pg_catalog.pg_stat_activity a where a.datid = d.oid and ${ordinary}) + 1
   from pg_catalog.pg_database d, pg_catalog.pg_roles r
   where d.datname = pg_catalog.current_database() and d.datconnlimit >= 0 and r.rolname = current_user and not r.rolsuper) as "databaseConnections"`;

interface TransactionRow {
  readonly pid: number | null;
  readonly name: string;
  readonly seconds: number;
}

function longTransaction({ pid, name, seconds }: TransactionRow): LongTransaction {
  if (pid === null) {
    return {
      who: `the prepared transaction ${quoteLiteral(name)}`,
      seconds,
      end: `ROLLBACK PREPARED ${quoteLiteral(name)};`,
    };
  }
  return { who: `process ${pid} (${oneLine(name)})`, seconds, end: `SELECT pg_catalog.pg_terminate_backend(${pid});` };
}

/** A transaction that takes longer than this is long. */
const longSeconds = 60;

/** Transactions that write. Decoding restarts before the oldest of them, so the server keeps WAL from there. */
const longTransactions = (long: number) => `
  select pid, coalesce(nullif(application_name, ''), usename) as name,
         extract(epoch from pg_catalog.now() - xact_start)::float8 as seconds
  from pg_catalog.pg_stat_activity
  where backend_xid is not null and pid <> pg_catalog.pg_backend_pid() and xact_start < pg_catalog.now() - interval '${long} s'
  union all
  select null, gid, extract(epoch from pg_catalog.now() - prepared)::float8
  from pg_catalog.pg_prepared_xacts where prepared < pg_catalog.now() - interval '${long} s'`;
