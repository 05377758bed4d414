import type { Client } from 'pg';
import { quoteIdentifier, type Server } from '../postgres/server.ts';
import { type Check, check } from './checks.ts';
import type { Configuration } from './config.ts';
import type { Uses } from './learn-handlers.ts';

/** The signatures of the two functions for `REVOKE` and `GRANT`. */
const functions = (major: number) => {
  const flush = major >= 17 ? ', boolean' : '';
  return ['text', 'bytea']
    .map((type) => `pg_catalog.pg_logical_emit_message(boolean, text, ${type}${flush})`)
    .join(', ');
};

/**
 * Checks who may write logical messages. PostgreSQL lets every role do so, and each could forge a message for an onMessage()
 * handler. Returns nothing if the configuration has no such handler.
 */
export async function messageChecks(
  client: Client,
  { major, role }: Server,
  { resolved }: Configuration,
  uses: Uses,
): Promise<Check[]> {
  const { rows } = await client.query<{ all: boolean; ours: boolean }>(
    `select pg_catalog.bool_or(a.grantee = 0) as "all", pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) as ours
     from pg_catalog.pg_proc p, pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
     where p.proname = 'pg_logical_emit_message' and p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace`,
  );
  const { all, ours } = rows[0]!;
  if (!ours) {
    return [
      check(false, resolved.heartbeat === undefined ? 'warning' : 'problem', {
        name: 'logical messages', found: `the role '${role}' may not write them`,
        why: 'heartbeats are logical messages, and walwatch writes one to find the end of the WAL on an idle server',
        fix: `GRANT EXECUTE ON FUNCTION ${functions(major)} TO ${quoteIdentifier(role)};`,
      }),
    ]; // prettier-ignore
  }
  if (!all || !uses.messages) return [];
  return [
    check(false, 'warning', {
      name: 'logical messages', found: 'every role that can connect may write them',
      why: 'an onMessage() handler cannot tell who wrote a message',
      fix: `REVOKE EXECUTE ON FUNCTION ${functions(major)} FROM PUBLIC; GRANT EXECUTE ON FUNCTION ${functions(major)} TO ${quoteIdentifier(role)}; -- and to the role of the application, see sql/role.sql`,
    }),
  ]; // prettier-ignore
}
