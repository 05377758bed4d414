import type { Server } from '../postgres/server.ts';
import type { ResolvedOptions } from '../options.ts';
import { quoteIdentifier } from '../postgres/server.ts';
import type { Check } from './checks.ts';
import type { ServerFacts } from './facts.ts';
import type { Uses } from './learn-handlers.ts';

/** Limits of this role and database that would stop a worker. A limit that is not set gives no check. */
export function limitChecks(
  server: Server,
  facts: ServerFacts,
  options: Pick<ResolvedOptions, 'manage'>,
  { uses, active, writes }: { readonly uses: Uses; readonly active: boolean; readonly writes: boolean },
): Check[] {
  return [
    ...readOnlyCheck(server, facts, options, writes || uses.positions || uses.deadLetters || uses.existing),
    ...(active ? [] : connectionCheck(server, facts, uses)),
  ];
}

/** `writes`: the worker must write to the database. */
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
    why: 'the server refuses everything that the worker creates or stores in the database',
    fix: `SET default_transaction_read_only = off; ${inDatabase} SET default_transaction_read_only = off; -- some providers turn it on while the disk is full`,
  }]; // prettier-ignore
}

/**
 * One session for set-up and inspections, one for the gate, one for a handler's transaction, and one that reads existing rows. Walsenders
 * have another limit.
 */
function connectionCheck(
  { role, database }: Server,
  { freeConnections, roleConnections, databaseConnections }: ServerFacts,
  uses: Uses,
): Check[] {
  const needed = 2 + (uses.positions ? 1 : 0) + (uses.existing ? 1 : 0);
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
      why: `a worker needs ${needed}, in addition to its walsender`, fix,
    })); // prettier-ignore
}
