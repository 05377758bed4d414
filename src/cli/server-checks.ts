import { canDecode, type Server, serverIssues, since } from '../postgres/server.ts';
import type { ResolvedOptions } from '../options.ts';
import { synchronousStandby } from '../setup/judge.ts';
import { type Check, check } from './checks.ts';
import type { ServerFacts } from './facts.ts';
import { formatBytes, formatSeconds } from './output.ts';
import { providerOf } from './providers.ts';

/** Requirements of the server that do not depend on watchers. `own`: whether the configured slot exists and is in use. */
export function serverChecks(
  server: Server,
  facts: ServerFacts,
  options: ResolvedOptions,
  own: { readonly exists: boolean; readonly active: boolean },
): Check[] {
  const provider = providerOf(facts.roles);
  const { role } = server;
  const freeSlots = facts.maxSlots - facts.slots;
  const freeWalsenders = facts.maxWalsenders - facts.walsenders;
  const keep = server.maxSlotWalKeepSize;
  return [
    {
      name: 'server version', level: 'ok', found: `PostgreSQL ${facts.version}${provider.name ? ` on ${provider.name}` : ''}`,
      why: `walwatch needs ${since.oldest} or newer`,
    },
    check(!facts.pooled, 'problem', {
      name: 'direct connection', found: facts.pooled ? 'the connection goes through a pooler' : 'no pooler',
      why: 'replication needs its own PostgreSQL session', fix: provider.direct,
    }),
    check(facts.tls !== undefined || facts.local, 'warning', {
      name: 'TLS', found: facts.tls ?? (facts.local ? 'none, but the server is on this machine' : 'the connection is not encrypted'),
      why: 'the connection carries passwords and all changed rows', fix: 'Add ?sslmode=verify-full&sslrootcert=… to the URL, or PGSSLMODE.',
    }),
    check(canDecode(server), 'problem', {
      name: 'wal_level', found: server.walLevel, why: 'below logical, the WAL does not contain changes of rows', fix: provider.walLevel,
    }),
    check(server.mayReplicate, 'problem', {
      name: 'right to replicate', found: `the role '${role}' ${server.mayReplicate ? 'may replicate' : 'lacks REPLICATION'}`,
      why: 'slots and replication connections need it', fix: provider.grant(role),
    }),
    check(own.exists || freeSlots > 0, 'problem', {
      name: 'replication slots', found: `${facts.slots} of ${facts.maxSlots} (max_replication_slots) in use`,
      why: 'each slot name needs one',
      fix: `ALTER SYSTEM SET max_replication_slots = ${facts.maxSlots + 10}; and restart the server; or drop an unused slot.`,
    }),
    check(own.active || freeWalsenders > 0, 'problem', {
      name: 'walsenders', found: `${facts.walsenders} of ${facts.maxWalsenders} (max_wal_senders) in use`,
      why: 'each running worker needs one',
      fix: `ALTER SYSTEM SET max_wal_senders = ${facts.maxWalsenders + 10}; and restart the server.`,
    }),
    check(server.walSenderTimeout !== 0, 'warning', {
      name: 'wal_sender_timeout', found: server.walSenderTimeout === 0 ? 'none' : formatSeconds(server.walSenderTimeout / 1000),
      why: 'after this time the server ends the connection of a dead worker, so that another worker can use the slot',
      fix: "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_catalog.pg_reload_conf();",
    }),
    check(keep !== undefined, 'warning', {
      name: 'max_slot_wal_keep_size', found: keep === undefined ? 'no limit' : formatBytes(keep),
      why: 'without a limit, a slot without a worker fills the disk; with one, the slot is lost instead',
      fix: "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_catalog.pg_reload_conf(); -- less than the free disk space, where the provider allows the setting",
    }),
    ...standbyChecks(server, options),
    ...serverIssues({ ...server, walLevel: 'logical', effectiveWalLevel: 'logical', mayReplicate: true }, options).map(
      ({ message, solution }): Check => ({
        name: 'configuration', level: 'problem', found: message, why: 'the watch would not start', fix: solution,
      }),
    ),
  ]; // prettier-ignore
}

function standbyChecks(server: Server, options: ResolvedOptions): Check[] {
  const names = server.synchronousStandbyNames;
  const warning = synchronousStandby(server, options);
  const facts = {
    name: 'synchronous_standby_names', found: names === '' ? 'none' : names,
    why: 'a worker must not be a synchronous standby: every COMMIT of the application would wait for its handlers',
  }; // prettier-ignore
  const level = options.visibility === 'committed' ? 'problem' : 'warning';
  return [check(warning === undefined, level, { ...facts, fix: warning?.solution })];
}

export function transactionCheck({ transactions, seesOthers }: ServerFacts): Check {
  const found = transactions.map(({ who, seconds }) => `${who} for ${formatSeconds(seconds)}`).join(', ');
  const none = `none longer than a minute${seesOthers ? '' : ' that this role can see (pg_read_all_stats shows all)'}`;
  return check(transactions.length === 0, 'warning', {
    name: 'long transactions', found: found || none,
    why: 'the server keeps WAL from the start of the oldest transaction that writes, and cannot create a slot before it ends',
    fix: `Wait until they end, or end them: ${transactions.map(({ end }) => end).join(' ')}`,
  }); // prettier-ignore
}
