import type { Client } from 'pg';
import { fromTable } from '../existing/chunk.ts';
import { readPlan } from '../existing/read-plan.ts';
import { quoteIdentifier, quoteTable } from '../postgres/server.ts';
import { sqlState, sqlStateOf } from '../postgres/sqlstate.ts';
import { TypeCatalog } from '../postgres/types.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import type { Check } from './checks.ts';
import type { Uses } from './learn-handlers.ts';
import { withoutSecrets } from './output.ts';
import type { Survey } from './survey.ts';
import { tryOut } from './try-out.ts';
import { tableName } from './watcher-name.ts';

/** Checks whether the role can read the tables of subscriptions with `existing`, by reading no row of them as a worker would. */
export async function existingChecks(
  client: Client,
  { bound, server, needs }: Survey,
  uses: Pick<Uses, 'existingWatchers'>,
): Promise<Check[]> {
  const read = bound.filter(
    ({ watcher }) => watcher.type === 'inserted' && uses.existingWatchers.includes(watcher.name),
  );
  const checks: Check[] = [];
  if (read.length > 0 && server.inRecovery) return [onStandby];
  for (const oid of new Set(read.map(({ table }) => table.oid))) {
    const of = read.filter(({ table }) => table.oid === oid);
    const { table } = of[0]!;
    const flaw = await flawOf(client, of, needs.name, server);
    checks.push({
      name: 'existing rows', table: tableName(table), level: flaw ? 'problem' : 'ok',
      found: flaw?.found ?? `the role '${server.role}' can read ${tableName(table)}`,
      why: 'existing rows are read with SELECT', fix: flaw?.fix,
    }); // prettier-ignore
  }
  return checks;
}

const onStandby: Check = {
  name: 'existing rows', level: 'problem', found: 'the server is a standby',
  why: 'how far existing rows are read is stored in the database, so they are read on a primary only',
  fix: 'Let a worker on the primary read them.',
}; // prettier-ignore

async function flawOf(
  client: Client,
  bound: readonly BoundWatcher[],
  publication: string,
  server: Survey['server'],
): Promise<Pick<Check, 'found' | 'fix'> | undefined> {
  const { table } = bound[0]!;
  const types = new TypeCatalog(undefined);
  try {
    await types.resolve(client, table.columns.map(({ typeOid }) => typeOid)); // prettier-ignore
    const { plan, order } = await readPlan(client, bound, types, { publication, server });
    const wanted = plan.wanted.map((index) => plan.relation.columns[index]!.name);
    const columns = [...new Set([...wanted, ...order.names])].map(quoteIdentifier).join(', ');
    const error = await tryOut(client, [
      'set local row_security = off',
      `select ${columns} from ${fromTable(table)} limit 0`,
    ]);
    if (error === undefined) return undefined;
    const found = withoutSecrets((error as Error).message);
    if (sqlStateOf(error) !== sqlState.insufficientPrivilege) return { found, fix: undefined };
    const role = quoteIdentifier(server.role);
    if (await filtersRows(client, table.oid)) {
      const fix = `ALTER ROLE ${role} BYPASSRLS; -- as a superuser, because policies would leave rows out`;
      return { found: `row-level security applies to the role '${server.role}'`, fix };
    }
    const schema = `GRANT USAGE ON SCHEMA ${quoteIdentifier(table.schema)} TO ${role};`;
    return { found, fix: `${schema} GRANT SELECT (${columns}) ON ${quoteTable(table)} TO ${role};` };
  } catch (error) {
    const { message, solution } = error as { message: string; solution?: string };
    return { found: withoutSecrets(message), fix: solution };
  }
}

/** Whether policies decide which rows of the table this role sees. It may read the table itself. */
async function filtersRows(client: Client, oid: number): Promise<boolean> {
  const { rows } = await client.query<{ filters: boolean }>(
    `select pg_catalog.row_security_active($1::pg_catalog.oid) and pg_catalog.has_any_column_privilege($1::pg_catalog.oid, 'SELECT') as filters`,
    [oid],
  );
  return rows[0]!.filters;
}
