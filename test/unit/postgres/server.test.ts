import { describe, expect, test } from 'vitest';
import {
  isSynchronousStandby,
  quoteIdentifier,
  quoteTable,
  type Server,
  serverIssues,
} from '../../../src/postgres/server.ts';

describe('synchronous_standby_names', () => {
  const own = 'walwatch/worker';

  test.each([
    '*',
    'walwatch/worker',
    'WALWATCH/Worker',
    '"walwatch/worker"',
    'standby1, "walwatch/worker"',
    'FIRST 2 (standby1, "walwatch/worker", standby2)',
    'first 1(*)',
    'ANY 1 ( standby1 , * )',
    '2 (standby1, "walwatch/worker")',
    ' ANY 1 ("walwatch/worker")\n',
  ])('matches walwatch: %j', (names) => {
    expect(isSynchronousStandby(names, own)).toBe(true);
  });

  test.each([
    '',
    'standby1',
    'walwatch',
    'worker',
    '"walwatch/worker2"',
    '"walwatch/worker:control"',
    'FIRST 1 (standby1, standby2)',
    'ANY 2 (a, b, c)',
    '"FIRST 1 (walwatch/worker)"',
  ])('does not match walwatch: %j', (names) => {
    expect(isSynchronousStandby(names, own)).toBe(false);
  });

  test('matches a quoted name with quotes, commas and parentheses', () => {
    expect(isSynchronousStandby('"a ""b"", (c)"', 'a "b", (c)')).toBe(true);
  });

  test('matches the first 63 bytes of a name, which PostgreSQL keeps', () => {
    const name = `walwatch/${'x'.repeat(63)}`;
    expect(isSynchronousStandby(name.slice(0, 63), name)).toBe(true);
    expect(isSynchronousStandby(name.slice(0, 62), name)).toBe(false);
  });
});

describe('a server', () => {
  const server: Server = {
    major: 17, walLevel: 'logical', effectiveWalLevel: undefined, walSenderTimeout: 60_000, maxSlotWalKeepSize: undefined, synchronousStandbyNames: '',
    inRecovery: false, systemIdentifier: '1', database: 'shop', databaseOid: 5, role: 'Ann "the" DBA', mayReplicate: true, startedAt: '0',
  }; // prettier-ignore
  const issues = (more: Partial<Server>, origin: 'any' | 'none' = 'any', failover = false) =>
    serverIssues({ ...server, ...more }, { origin, slot: { failover } }).map(({ message, solution }) => [
      message,
      solution,
    ]);

  test('has no problem if its version supports all options', () => {
    expect(issues({})).toEqual([]);
    expect(issues({ major: 16, inRecovery: true }, 'none')).toEqual([]);
    expect(issues({ major: 14 })).toEqual([]);
    expect(issues({ major: 16 }, 'any', true)).toEqual([
      [expect.stringContaining('failover needs PostgreSQL 17'), expect.anything()],
    ]);
  });

  test('from PostgreSQL 19 on may have wal_level replica: a slot turns decoding on, but not on a standby', () => {
    const onDemand = { major: 19, walLevel: 'replica', effectiveWalLevel: 'replica' };
    expect(issues(onDemand)).toEqual([]);
    expect(issues({ ...onDemand, inRecovery: true })).toMatchObject([
      [expect.stringContaining('on its primary'), expect.anything()],
    ]);
    expect(issues({ ...onDemand, inRecovery: true, effectiveWalLevel: 'logical' })).toEqual([]);
    expect(issues({ major: 19, walLevel: 'minimal', effectiveWalLevel: 'minimal' })).toHaveLength(1);
    expect(issues({ major: 18, walLevel: 'replica' })).toHaveLength(1);
  });

  test('needs wal_level logical and a role with REPLICATION; all problems are reported at once', () => {
    const found = issues({ walLevel: 'replica', mayReplicate: false, major: 15, inRecovery: true }, 'none');
    expect(found.map(([message]) => message)).toEqual([
      "wal_level is 'replica', but logical decoding needs 'logical'",
      `role 'Ann "the" DBA' lacks REPLICATION`,
      "origin: 'none' needs PostgreSQL 16, but the server is 15",
      'the server is a standby; PostgreSQL 15 decodes only on the primary',
    ]);
    expect(found[1]![1]).toContain('ALTER ROLE "Ann ""the"" DBA" REPLICATION;');
  });
});

test('names with any characters are quoted', () => {
  expect(quoteIdentifier('a "b" c')).toBe('"a ""b"" c"');
  expect(quoteTable({ schema: 'Erp', name: 'order.lines' })).toBe('"Erp"."order.lines"');
});
