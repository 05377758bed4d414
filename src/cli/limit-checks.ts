import type { Server } from '../postgres/server.ts';
import type { ResolvedOptions } from '../options.ts';
import { quoteIdentifier } from '../postgres/server.ts';
import type { Check } from './checks.ts';
import type { ServerFacts } from './facts.ts';
import type { Uses } from './learn-handlers.ts';

/** What is set for this role and database that a worker would run into. What is not set has no line. */
export function limitChecks(
  server: Server,
  facts: ServerFacts,
  options: Pick<ResolvedOptions, 'manage'>,
  { uses, active, writes }: { readonly uses: Uses; readonly active: boolean; readonly writes: boolean },
): Check[] {
  return [
    ...readOnlyCheck(server, facts, options, writes || uses.positions || uses.deadLetters),
    ...(active ? [] : connectionCheck(server, facts, uses)),
  ];
}

/** `writes`: the worker has to, or does not do what it should. */
function readOnlyCheck(
  { role, database, inRecovery }: Server,
  { readOnly }: ServerFacts,
  { manage }: Pick<ResolvedOptions, 'manage'>,
  writes: boolean,
): Check[] {
  if (!readOnly || inRecovery || (manage === 'verify' && !writes)) return [];
  const inDatabase = `ALTER ROLE ${quoteIdentifier(role)} IN DATABASE ${quoteIdentifier(database)}`;
  return [{
    name: 'default_transaction_read_only', level: writes ? 'problem' : 'warning', found: 'on',
    why: 'what a worker makes and notes in the database is refused',
    fix: `SET default_transaction_read_only = off; ${inDatabase} SET default_transaction_read_only = off; -- some providers turn it on while the disk is full`,
  }]; // prettier-ignore
}

/** An ordinary session for set-up and inspections, one for the gate, and one for a handler's transaction. Walsenders count apart. */
function connectionCheck(
  { role, database }: Server,
  { freeConnections, roleConnections, databaseConnections }: ServerFacts,
  uses: Uses,
): Check[] {
  const needed = 2 + (uses.positions ? 1 : 0);
  const limits = [
    {
      left: freeConnections, of: 'max_connections',
      fix: "SELECT usename, application_name, count(*) FROM pg_catalog.pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC; -- close some, or raise max_connections and restart",
    },
    {
      left: roleConnections, of: `the CONNECTION LIMIT of the role '${role}'`,
      fix: `ALTER ROLE ${quoteIdentifier(role)} CONNECTION LIMIT -1;`,
    },
    {
      left: databaseConnections, of: `the CONNECTION LIMIT of the database '${database}'`,
      fix: `ALTER DATABASE ${quoteIdentifier(database)} CONNECTION LIMIT -1;`,
    },
  ]; // prettier-ignore
  return limits
    .filter(({ left }) => left !== undefined && left < needed)
    .map(({ left, of, fix }): Check => ({
      name: 'connections', level: 'problem', found: `${left} left of ${of}`,
      why: `a worker takes ${needed}, beside its walsender`, fix,
    })); // prettier-ignore
}
