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
  if (read.length > 0 && server.inRecovery) return [onStandby];
  const checks: Check[] = [];
  for (const oid of new Set(read.map(({ table }) => table.oid))) {
    const of = read.filter(({ table }) => table.oid === oid);
    const table = tableName(of[0]!.table);
    const about = { name: 'existing rows', table, why: 'existing rows are read with SELECT' };
    const flaws = await flawsOf(client, of, needs.name, server);
    checks.push(...flaws.map((flaw): Check => ({ ...about, level: 'problem', ...flaw })));
    if (flaws.length === 0)
      checks.push({ ...about, level: 'ok', found: `the role '${server.role}' can read ${table}` });
  }
  return checks;
}

const onStandby: Check = {
  name: 'existing rows', level: 'problem', found: 'the server is a standby',
  why: 'how far existing rows are read is stored in the database, so they are read on a primary only',
  fix: 'Let a worker on the primary read them.',
}; // prettier-ignore

type Flaw = Pick<Check, 'found' | 'fix'>;

async function flawsOf(
  client: Client,
  bound: readonly BoundWatcher[],
  publication: string,
  server: Survey['server'],
): Promise<readonly Flaw[]> {
  const { table } = bound[0]!;
  const role = quoteIdentifier(server.role);
  const flaws: Flaw[] = [];
  if (await filtersRows(client, table.oid))
    flaws.push({
      found: `row-level security applies to the role '${server.role}'`,
      fix: `ALTER ROLE ${role} BYPASSRLS; -- as a superuser: policies would leave rows out`,
    });
  try {
    const types = new TypeCatalog(undefined);
    await types.resolve(client, table.columns.map(({ typeOid }) => typeOid)); // prettier-ignore
    const { plan, order } = await readPlan(client, bound, types, { publication, server });
    const wanted = plan.wanted.map((index) => plan.relation.columns[index]!.name);
    const columns = [...new Set([...wanted, ...order.names])].map(quoteIdentifier).join(', ');
    const error = await tryOut(client, [`select ${columns} from ${fromTable(table)} limit 0`]);
    if (error !== undefined) {
      const lacks = sqlStateOf(error) === sqlState.insufficientPrivilege;
      const schema = `GRANT USAGE ON SCHEMA ${quoteIdentifier(table.schema)} TO ${role};`;
      const fix = lacks ? `${schema} GRANT SELECT (${columns}) ON ${quoteTable(table)} TO ${role};` : undefined;
      flaws.push({ found: withoutSecrets((error as Error).message), fix });
    }
  } catch (error) {
    const { message, solution } = error as { message: string; solution?: string };
    flaws.push({ found: withoutSecrets(message), fix: solution });
  }
  return flaws;
}

async function filtersRows(client: Client, oid: number): Promise<boolean> {
  const { rows } = await client.query<{ filters: boolean }>(
    'select pg_catalog.row_security_active($1::pg_catalog.oid) as filters',
    [oid],
  );
  return rows[0]!.filters;
}
