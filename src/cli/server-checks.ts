import { canDecode, type Server, serverIssues, since } from '../postgres/server.ts';
import type { ResolvedOptions } from '../options.ts';
import { synchronousStandby } from '../setup/judge.ts';
import { type Check, check } from './checks.ts';
import type { ServerFacts } from './facts.ts';
import { formatBytes, formatSeconds } from './output.ts';
import { providerOf } from './providers.ts';

/** What the server must be and have, whatever is watched. `ownActive`: the configured slot is in use already. */
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
      name: 'direct connection', found: facts.pooled ? 'a pooler is in the way' : 'no pooler in the way',
      why: 'replication needs a session of PostgreSQL to itself', fix: provider.direct,
    }),
    check(facts.tls !== undefined || facts.local, 'warning', {
      name: 'TLS', found: facts.tls ?? (facts.local ? 'none, but on this machine' : 'the connection is not encrypted'),
      why: 'passwords and all changed rows go over it', fix: 'Add ?sslmode=verify-full&sslrootcert=… to the URL, or PGSSLMODE.',
    }),
    check(canDecode(server), 'problem', {
      name: 'wal_level', found: server.walLevel, why: 'without logical the WAL does not tell which rows changed', fix: provider.walLevel,
    }),
    check(server.mayReplicate, 'problem', {
      name: 'right to replicate', found: `the role '${role}' ${server.mayReplicate ? 'has it' : 'has it not'}`,
      why: 'slots and replication connections need it', fix: provider.grant(role),
    }),
    check(own.exists || freeSlots > 0, 'problem', {
      name: 'replication slots', found: `${facts.slots} of ${facts.maxSlots} (max_replication_slots) in use`,
      why: 'each durable name takes one',
      fix: `ALTER SYSTEM SET max_replication_slots = ${facts.maxSlots + 10}; and restart the server; or drop one that nobody uses.`,
    }),
    check(own.active || freeWalsenders > 0, 'problem', {
      name: 'walsenders', found: `${facts.walsenders} of ${facts.maxWalsenders} (max_wal_senders) in use`,
      why: 'each running worker takes one',
      fix: `ALTER SYSTEM SET max_wal_senders = ${facts.maxWalsenders + 10}; and restart the server.`,
    }),
    check(server.walSenderTimeout !== 0, 'warning', {
      name: 'wal_sender_timeout', found: server.walSenderTimeout === 0 ? 'none' : formatSeconds(server.walSenderTimeout / 1000),
      why: 'after it the server gives up a worker that has vanished, so that another one gets the slot',
      fix: "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_catalog.pg_reload_conf();",
    }),
    check(keep !== undefined, 'warning', {
      name: 'max_slot_wal_keep_size', found: keep === undefined ? 'no limit' : formatBytes(keep),
      why: 'without a limit, a slot that nobody reads fills the disk; with one, it is lost instead',
      fix: "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_catalog.pg_reload_conf(); -- less than the free disk space",
    }),
    ...standbyChecks(server, options),
    ...serverIssues({ ...server, walLevel: 'logical', effectiveWalLevel: 'logical', mayReplicate: true }, options).map(
      ({ message, solution }): Check => ({
        name: 'what the configuration asks for', level: 'problem', found: message, why: 'the watch would not start', fix: solution,
      }),
    ),
  ]; // prettier-ignore
}

function standbyChecks(server: Server, options: ResolvedOptions): Check[] {
  const names = server.synchronousStandbyNames;
  const warning = synchronousStandby(server, options);
  const facts = {
    name: 'synchronous_standby_names', found: names === '' ? 'none' : names,
    why: "a worker is no standby: every COMMIT of the application would wait for its handlers",
  }; // prettier-ignore
  const level = options.visibility === 'committed' ? 'problem' : 'warning';
  return [check(warning === undefined, level, { ...facts, fix: warning?.solution })];
}

export function transactionCheck({ transactions, seesOthers }: ServerFacts): Check {
  const found = transactions.map(({ who, seconds }) => `${who} since ${formatSeconds(seconds)}`).join(', ');
  const none = `none longer than a minute${seesOthers ? '' : ' among those that this role may see (pg_read_all_stats)'}`;
  return check(transactions.length === 0, 'warning', {
    name: 'long transactions', found: found || none,
    why: 'the server keeps WAL from the beginning of the oldest transaction that writes, and a slot can not be made before it ends',
    fix: `Wait for their end, or end them: ${transactions.map(({ end }) => end).join(' ')}`,
  }); // prettier-ignore
}
