import { describe, expect, test } from 'vitest';
import { invalidation, type Slot, slotIssues, slotLost } from '../../../src/setup/slot.ts';

const slot: Slot = {
  plugin: 'pgoutput',
  database: 'shop',
  activePid: undefined,
  confirmedFlushLsn: '0/20',
  restartLsn: '0/10',
  walStatus: 'reserved',
  invalidationReason: undefined,
  failover: false,
  synced: false,
  twoPhase: false,
};
describe('a slot is invalidated', () => {
  test('if the server reports a reason', () => {
    expect(invalidation({ ...slot, invalidationReason: 'wal_level_insufficient', walStatus: 'lost' })).toBe(
      'wal_level_insufficient',
    );
  });

  test('if its WAL is gone, which servers before 17 report without a reason', () => {
    expect(invalidation({ ...slot, walStatus: 'lost' })).toBe('wal_removed');
  });

  test('if it has no restart_lsn any more', () => {
    expect(invalidation({ ...slot, restartLsn: undefined })).toBe('it has no restart_lsn');
  });

  test('but not while it is being created, or while its WAL is still there', () => {
    expect(invalidation({ ...slot, restartLsn: undefined, confirmedFlushLsn: undefined })).toBeUndefined();
    for (const walStatus of ['reserved', 'extended', 'unreserved', null])
      expect(invalidation({ ...slot, walStatus })).toBeUndefined();
  });
});

describe('a slot that someone else created', () => {
  const issue = (more: Partial<Slot>, failover = false, major = 17) =>
    slotIssues({ name: 'worker', failover }, { ...slot, ...more }, { database: 'shop', major });

  test('must have failover if the option asks for it', () => {
    expect(issue({ failover: true }, true)).toEqual([]);
    expect(issue({}, true)).toMatchObject([
      { solution: expect.stringContaining('ALTER_REPLICATION_SLOT worker (FAILOVER true)') },
    ]);
  });

  test("with two_phase is refused, with the SQL for the server's version", () => {
    expect(issue({ twoPhase: true }, false, 18)).toMatchObject([
      { message: expect.stringContaining('two_phase'), solution: expect.stringContaining('(TWO_PHASE false);') },
    ]);
    expect(issue({ twoPhase: true }, true, 17)).toMatchObject([
      { message: expect.stringContaining('without failover') },
      {
        solution: expect.stringContaining(
          "pg_create_logical_replication_slot('worker', 'pgoutput', false, false, true);",
        ),
      },
    ]);
  });

  test('is accepted if it uses pgoutput in this database', () => {
    expect(issue({})).toEqual([]);
  });

  test.each([
    [{ plugin: null, database: null }, "'worker' is a physical replication slot"],
    [{ plugin: 'wal2json' }, "the slot 'worker' uses the plugin wal2json, not pgoutput"],
    [{ database: 'mail' }, "the slot 'worker' belongs to the database 'mail', not 'shop'"],
  ])('%j: refused, and the solution drops it', (more, message) => {
    const solution = expect.stringContaining("pg_drop_replication_slot('worker')");
    expect(issue(more)).toEqual([{ message, solution }]);
  });
});

test('SLOT_LOST names the reason, the last position and the way out', () => {
  const error = slotLost('worker', 'it was dropped', '0/18');
  expect(error).toMatchObject({ code: 'SLOT_LOST', retry: 'never' });
  expect(error.message).toBe('it was dropped; changes after 0/18 are lost');
  expect(error.solution).toContain("onLost: 'recreate'");
  expect(slotLost('worker', 'it was dropped', undefined).message).toContain('after an unknown position');
  const byHand = slotLost('worker', 'it was dropped', '0/18', 'SELECT make');
  expect(byHand.solution).toContain('SELECT make;');
  expect(byHand.solution).not.toContain('onLost');
});
