import type { Client } from 'pg';
import { type ConfigurationIssue, WatchError } from '../errors.ts';
import { migrationFor, withMigration } from '../postgres/migration.ts';
import { foreignTable } from '../postgres/own-tables.ts';
import { quoteIdentifier, quoteTable, type Server, since } from '../postgres/server.ts';
import { sqlState } from '../postgres/sqlstate.ts';
import type { BoundWatcher } from '../watchers/bind.ts';
import { columnsRead, filterColumns, keyOrderOf } from './read-plan.ts';
import type { SubscriptionReading } from './subscription-reading.ts';

export const onStandby: ConfigurationIssue = {
  message: 'existing reads rows and stores its progress, but the server is a standby',
  solution: 'Connect to the primary, or leave existing out.',
};

/** What keeps existing rows from being read, all at once. Makes walwatch.existing when it is missing and may be made. */
export async function startIssues(
  client: Client,
  server: Server,
  bound: readonly BoundWatcher[],
  readings: readonly Pick<SubscriptionReading, 'subscription' | 'tables'>[],
  { create, publication }: { readonly create: boolean; readonly publication: string },
): Promise<ConfigurationIssue[]> {
  if (server.inRecovery) return [onStandby];
  const issues = await stateIssues(client, server, create);
  const names = new Set(
    readings.flatMap(({ tables }) => tables.flatMap(({ routes }) => routes.map(({ name }) => name))),
  );
  const read = bound.filter(({ watcher }) => names.has(watcher.name));
  for (const oid of new Set(read.map(({ table }) => table.oid))) {
    const ofTable = read.filter(({ table }) => table.oid === oid);
    issues.push(...(await tableIssues(client, server, ofTable, publication)));
  }
  return issues;
}

/** What keeps the rows of one table from being read. */
export async function tableIssues(
  client: Client,
  server: Server,
  bound: readonly BoundWatcher[],
  publication: string,
): Promise<ConfigurationIssue[]> {
  const { table } = bound[0]!;
  const name = quoteTable(table);
  const role = quoteIdentifier(server.role);
  const issues: ConfigurationIssue[] = [];
  const filtered = server.major < since.columnLists ? [] : await filterColumns(client, publication, table);
  const columns = [...new Set([...columnsRead(bound), ...filtered])];
  const { rows } = await client.query<{ granted: boolean; secured: boolean }>(
    `select pg_catalog.has_schema_privilege($3::pg_catalog.text, 'USAGE')
              and (pg_catalog.has_table_privilege($1::pg_catalog.oid, 'SELECT')
                or (select pg_catalog.bool_and(pg_catalog.has_column_privilege($1::pg_catalog.oid, c.name, 'SELECT'))
                    from pg_catalog.unnest($2::pg_catalog.text[]) c(name))) as granted,
            pg_catalog.row_security_active($1::pg_catalog.oid) as secured`,
    [table.oid, columns, table.schema],
  );
  const { granted, secured } = rows[0]!;
  if (!granted)
    issues.push({
      message: `existing: the role '${server.role}' may not read ${name}`,
      solution: `GRANT USAGE ON SCHEMA ${quoteIdentifier(table.schema)} TO ${role}; GRANT SELECT (${columns.map(quoteIdentifier).join(', ')}) ON ${name} TO ${role};`,
      table: table.name,
    });
  if (secured)
    issues.push({
      message: `existing: row-level security hides rows of ${name} from the role '${server.role}'`,
      solution: `Changes are delivered whatever the policies say, and so must rows: ALTER ROLE ${role} BYPASSRLS;`,
      table: table.name,
    });
  try {
    const { closedSchemas } = await keyOrderOf(client, bound[0]!);
    for (const schema of closedSchemas) {
      if (!granted && schema === table.schema) continue; // said above
      issues.push({
        message: `existing: the role '${server.role}' may not use the schema ${quoteIdentifier(schema)}, which has the type, the collation or the operators of a key of ${name}`,
        solution: `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${role};`,
        table: table.name,
      });
    }
  } catch (error) {
    if (!(error instanceof WatchError)) throw error;
    issues.push({ message: `existing: ${error.message}`, solution: error.solution, table: table.name });
  }
  return issues;
}

async function stateIssues(client: Client, { role }: Server, create: boolean): Promise<ConfigurationIssue[]> {
  const foreign = await foreignTable(client, 'existing');
  if (foreign) return [{ message: foreign.message, solution: foreign.solution, table: 'walwatch.existing' }];
  try {
    const { rows } = await withMigration(client, '003_existing', create, () =>
      client.query<{ granted: boolean }>(
        `select pg_catalog.bool_and(pg_catalog.has_table_privilege('walwatch.existing', p.name)) as granted
         from pg_catalog.unnest('{SELECT,INSERT,UPDATE}'::pg_catalog.text[]) p(name)`,
      ),
    );
    if (rows[0]!.granted) return [];
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== sqlState.insufficientPrivilege && code !== 'PERMISSION') throw error;
  }
  return [
    {
      message: `existing stores its progress in the table walwatch.existing, which role '${role}' can neither use nor create`,
      solution: `As the owner of the database, run: ${migrationFor(role, '003_existing')}`,
      table: 'walwatch.existing',
    },
  ];
}
