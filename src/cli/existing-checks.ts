import type { Client } from 'pg';
import { tableIssues } from '../existing/start-issues.ts';
import type { Check } from './checks.ts';
import type { Uses } from './learn-handlers.ts';
import type { Survey } from './survey.ts';
import { tableName } from './watcher-name.ts';

/** Checks whether the role can read the tables of subscriptions with `existing`, with the checks of a start. */
export async function existingChecks(
  client: Client,
  { bound, server }: Survey,
  uses: Pick<Uses, 'existingWatchers'>,
  publication: string,
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
    const flaws = await tableIssues(client, server, of, publication);
    checks.push(
      ...flaws.map(({ message, solution }): Check => ({ ...about, level: 'problem', found: message, fix: solution })),
    );
    if (flaws.length === 0)
      checks.push({ ...about, level: 'ok', found: `the role '${server.role}' can read ${table}` });
  }
  return checks;
}

const onStandby: Check = {
  name: 'existing rows', level: 'problem', found: 'the server is a standby',
  why: 'a worker stores its progress in the database, so it reads existing rows only from a primary',
  fix: 'Let a worker on the primary read them.',
}; // prettier-ignore
