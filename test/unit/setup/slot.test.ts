import { describe, expect, test } from 'vitest';
import type { Marker } from '../../../src/setup/marker.ts';
import { invalidation, judgeSlot, type Slot, slotIssues, slotLost } from '../../../src/setup/slot.ts';

const slot: Slot = {
  plugin: 'pgoutput',
  database: 'shop',
  activePid: undefined,
  confirmedFlushLsn: '0/20',
  restartLsn: '0/10',
  walStatus: 'reserved',
  invalidationReason: undefined,
  failover: false,
};
const server = { systemIdentifier: '7300000000000000001', databaseOid: 5 };
const marker: Marker = { version: 1, slot: 'worker', ...server, publicationOid: 9, createdLsn: '0/5' };

function judge(facts: { slot?: Slot; marker?: Marker; acknowledged?: string; lost?: string }) {
  return judgeSlot({
    name: 'worker',
    server,
    slot: facts.slot,
    marker: facts.marker,
    acknowledged: facts.acknowledged,
    lost: facts.lost,
  });
}

describe('gaps are loud', () => {
  test('no marker and no slot: a first start', () => {
    expect(judge({})).toEqual({ kind: 'create' });
  });

  test('no marker but a slot: it is adopted', () => {
    expect(judge({ slot })).toEqual({ kind: 'adopt' });
  });

  test('marker and slot: it goes on', () => {
    expect(judge({ slot, marker })).toEqual({ kind: 'resume' });
    expect(judge({ slot, marker, acknowledged: '0/20' })).toEqual({ kind: 'resume' });
  });

  test('a marker and no slot: it was dropped, and what was written since it was made can not be had', () => {
    expect(judge({ marker })).toEqual({ kind: 'lost', from: '0/5', reason: "the slot 'worker' was dropped" });
  });

  test('a template clone copies the marker but never the slot: a first start', () => {
    expect(judge({ marker: { ...marker, databaseOid: 6 } })).toEqual({ kind: 'create' });
  });

  test('a restored dump or pg_upgrade brings the marker without the slot: lost, whatever the database', () => {
    const elsewhere = { ...marker, systemIdentifier: '7300000000000000002' };
    const reason = expect.stringContaining('did not come along to this server');
    expect(judge({ marker: elsewhere })).toEqual({ kind: 'lost', from: '0/5', reason });
    expect(judge({ marker: { ...elsewhere, databaseOid: 6 } })).toEqual({ kind: 'lost', from: '0/5', reason });
  });

  test('a slot whose WAL is gone looks fine in the catalog: the stream told', () => {
    const lost = 'requested WAL segment 01 has already been removed';
    expect(judge({ slot, marker, lost })).toEqual({ kind: 'lost', from: '0/20', reason: lost });
  });

  test('a slot that is gone on a reconnect was dropped while it was in use, with or without a marker', () => {
    const lost = { kind: 'lost', from: '0/18', reason: "the slot 'worker' was dropped while it was in use" };
    expect(judge({ acknowledged: '0/18' })).toEqual(lost);
    expect(judge({ acknowledged: '0/18', marker })).toEqual(lost);
    expect(judge({ acknowledged: '0/18', marker: { ...marker, databaseOid: 6 } })).toEqual(lost);
  });

  test('an invalidated slot is lost from where it stood, with or without a marker', () => {
    const invalidated = { ...slot, invalidationReason: 'idle_timeout' };
    const lost = { kind: 'lost', from: '0/20', reason: "the slot 'worker' was invalidated: idle_timeout" };
    expect(judge({ slot: invalidated })).toEqual(lost);
    expect(judge({ slot: invalidated, marker, acknowledged: '0/18' })).toEqual(lost);
    expect(judge({ slot: { ...invalidated, confirmedFlushLsn: undefined }, acknowledged: '0/18' })).toEqual({
      ...lost,
      from: '0/18',
    });
  });
});

describe('a slot is invalidated', () => {
  test('when the server says why', () => {
    expect(invalidation({ ...slot, invalidationReason: 'wal_level_insufficient', walStatus: 'lost' })).toBe(
      'wal_level_insufficient',
    );
  });

  test('when WAL that it needs is gone, which servers before 17 say without a reason', () => {
    expect(invalidation({ ...slot, walStatus: 'lost' })).toBe('wal_removed');
  });

  test('when it has no restart_lsn any more', () => {
    expect(invalidation({ ...slot, restartLsn: undefined })).toBe('it has no restart_lsn');
  });

  test('but not while it is being created, and not while its WAL may still be had', () => {
    expect(invalidation({ ...slot, restartLsn: undefined, confirmedFlushLsn: undefined })).toBeUndefined();
    for (const walStatus of ['reserved', 'extended', 'unreserved', null])
      expect(invalidation({ ...slot, walStatus })).toBeUndefined();
  });
});

describe('a slot that somebody else made', () => {
  const issue = (more: Partial<Slot>, failover = false) =>
    slotIssues({ name: 'worker', failover }, { ...slot, ...more }, { database: 'shop' });

  test('with failover must have been made with it', () => {
    expect(issue({ failover: true }, true)).toEqual([]);
    expect(issue({}, true)).toMatchObject([
      { solution: expect.stringContaining('ALTER_REPLICATION_SLOT worker (FAILOVER true)') },
    ]);
  });

  test('fits when it is one of pgoutput in this database', () => {
    expect(issue({})).toEqual([]);
  });

  test.each([
    [{ plugin: null, database: null }, "'worker' is a physical replication slot"],
    [{ plugin: 'wal2json' }, "the slot 'worker' uses the plugin wal2json, not pgoutput"],
    [{ database: 'mail' }, "the slot 'worker' belongs to the database 'mail', not 'shop'"],
  ])('%j: refused, with what to do', (more, message) => {
    const solution = expect.stringContaining("pg_drop_replication_slot('worker')");
    expect(issue(more)).toEqual([{ message, solution }]);
  });
});

test('the loss names the reason, the last position and the way out', () => {
  const error = slotLost('worker', 'it was dropped', '0/18');
  expect(error).toMatchObject({ code: 'SLOT_LOST', retry: 'never' });
  expect(error.message).toBe('it was dropped; changes after 0/18 can not be had any more');
  expect(error.solution).toContain("onLost: 'recreate'");
  expect(slotLost('worker', 'it was dropped', undefined).message).toContain('after an unknown position');
});
