/** Checks for all kinds of servers, with made-up facts. test/integration/cli-doctor.test.ts checks real servers. */
import { expect, test } from 'vitest';
import type { Server } from '../../../src/postgres/server.ts';
import type { Check } from '../../../src/cli/checks.ts';
import type { Configuration } from '../../../src/cli/config.ts';
import type { ServerFacts } from '../../../src/cli/facts.ts';
import { WatchError } from '../../../src/errors.ts';
import { limitChecks } from '../../../src/cli/limit-checks.ts';
import { serverChecks, transactionCheck } from '../../../src/cli/server-checks.ts';
import { startChecks } from '../../../src/cli/start-checks.ts';
import { resolveOptions } from '../../../src/options.ts';

const server: Server = {
  major: 17, walLevel: 'logical', effectiveWalLevel: undefined, walSenderTimeout: 60_000, maxSlotWalKeepSize: 2 ** 30, synchronousStandbyNames: '', inRecovery: false,
  systemIdentifier: '1', database: 'accounts', databaseOid: 1, role: 'worker', mayReplicate: true, startedAt: '0',
}; // prettier-ignore
const facts: ServerFacts = {
  version: '17.4', slots: 1, maxSlots: 10, walsenders: 1, maxWalsenders: 10, roles: [], mayCreate: true, pooled: false, tls: 'TLSv1.3, X',
  local: false, foreignTables: [], ownsPublication: true, transactions: [], seesOthers: true,
  readOnly: false, freeConnections: undefined, roleConnections: undefined, databaseConnections: undefined, heirs: [],
}; // prettier-ignore
const options = resolveOptions({ connection: {}, slot: 'accounts', watchers: { entries: [] } });
const none = { exists: false, active: false };

function about(
  name: string,
  changed: { server?: Partial<Server>; facts?: Partial<ServerFacts>; own?: typeof none },
): Check {
  const checks = serverChecks(
    { ...server, ...changed.server },
    { ...facts, ...changed.facts },
    options,
    changed.own ?? none,
  );
  return checks.find((check) => check.name === name)!;
}

test('a correct server needs no fixes', () => {
  const checks = serverChecks(server, facts, options, none);
  expect(checks.length).toBeGreaterThan(8);
  for (const { level, fix } of checks) expect([level, fix]).toEqual(['ok', undefined]);
});

test.each([
  [
    'rds_superuser',
    'Amazon RDS or Aurora',
    'rds.logical_replication = 1',
    'GRANT rds_replication TO "worker";',
    'RDS Proxy',
  ],
  [
    'cloudsqlsuperuser',
    'Google Cloud SQL',
    'cloudsql.logical_decoding = on',
    'ALTER ROLE "worker" REPLICATION;',
    'Cloud SQL Auth Proxy',
  ],
  [
    'azure_pg_admin',
    'Azure Database for PostgreSQL',
    'server parameter wal_level',
    'ALTER ROLE "worker" REPLICATION;',
    '6432',
  ],
  [
    'supabase_admin',
    'Supabase',
    'settings of the project',
    'ALTER ROLE "worker" REPLICATION;',
    'db.<project>.supabase.co:5432',
  ],
  ['neon_superuser', 'Neon', 'logical replication in the settings', '"worker" may not', '-pooler'],
  ['another', undefined, 'ALTER SYSTEM SET wal_level', 'ALTER ROLE "worker" REPLICATION;', 'PgBouncer'],
])('on a server with the role %s, the fixes are those of %s', (role, name, walLevel, grant, direct) => {
  const changed = { server: { walLevel: 'replica', mayReplicate: false }, facts: { roles: [role], pooled: true } };
  expect(about('server version', changed).found).toBe(
    name === undefined ? 'PostgreSQL 17.4' : `PostgreSQL 17.4 on ${name}`,
  );
  expect(about('wal_level', changed)).toMatchObject({
    level: 'problem',
    found: 'replica',
    fix: expect.stringContaining(walLevel),
  });
  expect(about('right to replicate', changed)).toMatchObject({ level: 'problem', fix: expect.stringContaining(grant) });
  expect(about('direct connection', changed)).toMatchObject({ level: 'problem', fix: expect.stringContaining(direct) });
});

test('an unencrypted connection is a warning, unless the server is on the same machine', () => {
  expect(about('TLS', { facts: { tls: undefined } })).toMatchObject({
    level: 'warning',
    fix: expect.stringContaining('verify-full'),
  });
  expect(about('TLS', { facts: { tls: undefined, local: true } })).toMatchObject({ level: 'ok' });
});

test('used-up slots and walsenders are problems only for a worker that has none yet', () => {
  const full = { slots: 10, walsenders: 10 };
  expect(about('replication slots', { facts: full })).toMatchObject({
    level: 'problem',
    found: expect.stringContaining('10 of 10'),
  });
  expect(about('walsenders', { facts: full })).toMatchObject({ level: 'problem' });
  const own = { exists: true, active: true };
  expect(about('replication slots', { facts: full, own })).toMatchObject({ level: 'ok' });
  expect(about('walsenders', { facts: full, own })).toMatchObject({ level: 'ok' });
});

test("an owner's rights are checked only with manage: 'create', and are a problem only if something must be created", () => {
  const poor = { ...facts, mayCreate: false, ownsPublication: undefined, foreignTables: ['users', 'erp.orders'] };
  const configuration = (manage: 'create' | 'verify') => ({ resolved: { ...options, manage } }) as Configuration;
  const denied = { statements: ['CREATE PUBLICATION x'], error: { code: '42501' }, refused: undefined };
  const nothing = { statements: [], error: undefined, refused: undefined };
  expect(startChecks(denied, configuration('create'), poor, [])).toMatchObject([
    { level: 'problem', found: 'missing: CREATE on the database; ownership of users, erp.orders' },
  ]);
  expect(startChecks(nothing, configuration('create'), { ...facts, ownsPublication: false }, [])).toMatchObject([
    { level: 'warning', found: 'missing: ownership of the publication' },
  ]);
  expect(startChecks(nothing, configuration('verify'), poor, [])).toEqual([]);
  expect(startChecks(nothing, configuration('create'), facts, [])).toMatchObject([{ level: 'ok' }]);
});

test('an error that would stop the start is reported if no other check has found it', () => {
  const refused = new WatchError('SLOT_MOVED', 'somebody moved it', { solution: 'Look who.' });
  const start = { statements: [], error: undefined, refused };
  const configuration = { resolved: { ...options, manage: 'verify' } } as Configuration;
  const problem: Check = { name: 'x', level: 'problem', found: 'y', why: 'z' };
  expect(startChecks(start, configuration, facts, [])).toMatchObject([
    { name: 'start', level: 'problem', found: 'somebody moved it', fix: 'Look who.' },
  ]);
  expect(startChecks(start, configuration, facts, [problem])).toEqual([]);
});

test('limits are reported if a worker would exceed them', () => {
  const uses = { positions: false, deadLetters: false, attempts: false, messages: false, error: undefined };
  const about = (changed: Partial<ServerFacts>, { active = false, positions = false, writes = false } = {}) =>
    limitChecks(server, { ...facts, ...changed }, options, { uses: { ...uses, positions }, active, writes });
  expect(about({ freeConnections: 2, roleConnections: 2, databaseConnections: 2 })).toEqual([]);
  expect(about({ freeConnections: 2 }, { positions: true })).toMatchObject([{ name: 'connections', level: 'problem' }]);
  expect(about({ roleConnections: 1, databaseConnections: 0 })).toMatchObject([
    { found: "1 left of the CONNECTION LIMIT of the role 'worker'" },
    { found: "0 left of the CONNECTION LIMIT of the database 'accounts'" },
  ]);
  expect(about({ roleConnections: 0 }, { active: true })).toEqual([]);
  expect(about({ readOnly: true })).toMatchObject([{ name: 'default_transaction_read_only', level: 'warning' }]);
  expect(about({ readOnly: true }, { writes: true })).toMatchObject([{ level: 'problem' }]);
});

test('long transactions are reported with process, duration and the statements that end them', () => {
  const transactions = [
    { who: 'process 7 (psql)', seconds: 4000, end: 'SELECT pg_catalog.pg_terminate_backend(7);' },
    { who: `the prepared transaction 'x'`, seconds: 90, end: `ROLLBACK PREPARED 'x';` },
  ];
  expect(transactionCheck({ ...facts, transactions })).toMatchObject({
    level: 'warning',
    found: `process 7 (psql) for 1 h 6 min, the prepared transaction 'x' for 1 min`,
    fix: `Wait until they end, or end them: SELECT pg_catalog.pg_terminate_backend(7); ROLLBACK PREPARED 'x';`,
  });
  expect(transactionCheck({ ...facts, seesOthers: false }).found).toContain('pg_read_all_stats');
});
