import type { Client } from 'pg';
import { type Migration, migrationFor } from '../postgres/migration.ts';
import { foreignTable, type OwnTable } from '../postgres/own-tables.ts';
import { quoteIdentifier, type Server } from '../postgres/server.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Check } from './checks.ts';
import type { Uses } from './learn-handlers.ts';
import { withoutSecrets } from './output.ts';
import { tryOut } from './try-out.ts';

interface Own {
  readonly table: OwnTable;
  readonly migration: Migration;
  readonly rights: readonly string[];
  /** The newest column: a table without it is from an older version. */
  readonly column: string;
  readonly use: keyof Uses;
  readonly why: string;
}

const all = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const;

const own: readonly Own[] = [
  {
    table: 'dead_letters', migration: '001_dead_letters', rights: all, column: 'failed_at', use: 'deadLetters',
    why: 'without it dead letters cannot be written, and their events hold the slot back',
  },
  {
    table: 'positions', migration: '002_positions', rights: ['SELECT', 'INSERT', 'UPDATE'], column: 'timeline', use: 'positions',
    why: 'without it a worker with transaction: true does not start',
  },
  {
    table: 'existing', migration: '003_existing', rights: ['SELECT', 'INSERT', 'UPDATE'], column: 'runs', use: 'existing',
    why: 'without it existing rows are not read',
  },
  {
    table: 'attempts', migration: '004_attempts', rights: all, column: 'attempt', use: 'attempts',
    why: 'without it a handler that crashes its process is retried without end',
  },
]; // prettier-ignore

/** Checks walwatch's own tables: those that a worker needs, and those that it refuses to use. A correct table gives no check. */
export async function ownTableChecks(
  client: Client,
  server: Server,
  options: Pick<ResolvedOptions, 'manage'>,
  uses: Uses,
): Promise<Check[]> {
  const checks: Check[] = [];
  for (const one of own) {
    const name = `walwatch.${one.table}`;
    const used = uses[one.use] === true;
    const level = used && one.use !== 'attempts' ? 'problem' : 'warning';
    const foreign = await foreignTable(client, one.table);
    if (foreign) {
      checks.push({
        name, level, found: foreign.message,
        why: 'a worker of this role would not start, or could not write dead letters', fix: foreign.solution,
      }); // prettier-ignore
      continue;
    }
    if (!used || server.inRecovery) continue;
    const flaw = await flawOf(client, server.role, one, options.manage === 'create');
    if (flaw) checks.push({ name, level, why: one.why, ...flaw });
  }
  return checks;
}

/** The SQL that creates or upgrades the tables that the handlers need, and grants the role its missing rights on them. */
export async function missingTables(client: Client, role: string, uses: Uses): Promise<readonly string[]> {
  const statements: string[] = [];
  for (const one of own) {
    if (uses[one.use] !== true || (await foreignTable(client, one.table))) continue;
    if ((await presence(client, one)) !== 'there') statements.push(migrationFor(role, one.migration));
    else if ((await missingRights(client, one, role)).length > 0) statements.push(grant(role, one));
  }
  return statements;
}

async function flawOf(
  client: Client,
  role: string,
  one: Own,
  create: boolean,
): Promise<Pick<Check, 'found' | 'fix'> | undefined> {
  const there = await presence(client, one);
  if (there === 'there') {
    const missing = await missingRights(client, one, role);
    if (missing.length === 0) return undefined;
    return { found: `the role '${role}' lacks ${missing.join(', ')}`, fix: grant(role, one) };
  }
  const fix = migrationFor(role, one.migration);
  const error = create ? await tryOut(client, [fix]) : undefined;
  if (create && error === undefined) return undefined; // the worker creates it
  if (sqlStateOf(error) === sqlState.readOnlyTransaction) return undefined; // default_transaction_read_only has its own check
  const why = error === undefined ? "manage: 'verify' creates nothing" : withoutSecrets((error as Error).message);
  return {
    found: `it is ${there}, and a worker cannot create it: ${why}`,
    fix: `-- as the owner of the database\n${fix}`,
  };
}

async function presence(
  client: Client,
  { table, column }: Own,
): Promise<'there' | 'missing' | 'from an older version'> {
  const { rows } = await client.query<{ current: boolean }>(
    `select exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = $2 and not a.attisdropped) as current
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'walwatch' and c.relname = $1`,
    [table, column],
  );
  if (!rows[0]) return 'missing';
  return rows[0].current ? 'there' : 'from an older version';
}

function grant(role: string, { table, rights }: Own): string {
  const to = quoteIdentifier(role);
  return `GRANT USAGE ON SCHEMA walwatch TO ${to}; GRANT ${rights.join(', ')} ON walwatch.${table} TO ${to};`;
}

async function missingRights(client: Client, { table, rights }: Own, role: string): Promise<string[]> {
  const { rows } = await client.query<{ right: string }>(
    `select r.name as right from pg_catalog.unnest($2::text[]) r(name), pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'walwatch' and c.relname = $1 and not pg_catalog.has_table_privilege($3::name, c.oid, r.name)
     union all
     select 'USAGE on the schema' from pg_catalog.pg_namespace n
     where n.nspname = 'walwatch' and not pg_catalog.has_schema_privilege($3::name, n.oid, 'USAGE')`,
    [table, rights, role],
  );
  return rows.map(({ right }) => right);
}
