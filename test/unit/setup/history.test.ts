import { describe, expect, test } from 'vitest';
import { History, judgeSlot, type SlotVerdict, type StreamFacts } from '../../../src/setup/history.ts';
import { claimed, type Marker } from '../../../src/setup/marker.ts';
import type { Slot } from '../../../src/setup/slot.ts';

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
const server = { systemIdentifier: '7300000000000000001', databaseOid: 5 };
const marker: Marker = { version: 1, slot: 'worker', ...server, publicationOid: 9, createdLsn: '0/5' };

interface Given {
  slot?: Slot;
  marker?: Marker;
  acknowledged?: string;
  pid?: number;
  lost?: string;
}

const worker = 'this worker';

function judge({ slot, marker, acknowledged, pid, lost }: Given): SlotVerdict {
  const watchers = ['users:inserted'];
  return judgeSlot({ name: 'worker', server, slot, marker, watchers, worker, acknowledged, pid, lost });
}

const resume = { kind: 'resume', colleague: false, gap: undefined };

/** A walsender that begins at WAL position 100 on timeline 1. */
function streams(history: History, more: Partial<StreamFacts> = {}) {
  return history.stream({
    systemIdentifier: 's', timeline: 1, end: 0x100n, switchedAt: undefined, received: '0/80', createdLsn: undefined, ...more,
  }); // prettier-ignore
}

describe('a lost slot is never mistaken for a first start', () => {
  test('no marker and no slot: a first start', () => {
    expect(judge({})).toEqual({ kind: 'create' });
  });

  test('no marker but a slot: it is adopted', () => {
    expect(judge({ slot })).toEqual({ kind: 'adopt' });
  });

  test('marker and slot: the worker resumes', () => {
    expect(judge({ slot, marker })).toEqual(resume);
    expect(judge({ slot, marker, acknowledged: '0/20' })).toEqual(resume);
  });

  test('a marker and no slot: it was dropped, and everything since its creation is lost', () => {
    expect(judge({ marker })).toEqual({ kind: 'lost', from: '0/5', reason: "the slot 'worker' was dropped" });
  });

  test('a clone of a template database has the marker but no slot: a first start', () => {
    expect(judge({ marker: { ...marker, databaseOid: 6 } })).toEqual({ kind: 'create' });
  });

  test('a restored dump or pg_upgrade brings the marker without the slot: lost, whatever the database', () => {
    const elsewhere = { ...marker, systemIdentifier: '7300000000000000002' };
    const reason = expect.stringContaining('was not copied to this server');
    expect(judge({ marker: elsewhere })).toEqual({ kind: 'lost', from: '0/5', reason });
    expect(judge({ marker: { ...elsewhere, databaseOid: 6 } })).toEqual({ kind: 'lost', from: '0/5', reason });
  });

  test('no slot at a reconnect: it was dropped while it was in use, with or without a marker', () => {
    const lost = { kind: 'lost', from: '0/18', reason: "the slot 'worker' was dropped while it was in use" };
    expect(judge({ acknowledged: '0/18' })).toEqual(lost);
    expect(judge({ acknowledged: '0/18', marker })).toEqual(lost);
    expect(judge({ acknowledged: '0/18', marker: { ...marker, databaseOid: 6 } })).toEqual(lost);
  });

  test('an invalidated slot: lost from its last position, with or without a marker', () => {
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

describe('a slot that is further than this process acknowledged', () => {
  const moved = { slot: { ...slot, confirmedFlushLsn: '0/30' }, acknowledged: '0/20' };

  test('was moved by another worker if the marker names one: received changes are forgotten, and nothing is missing', () => {
    expect(judge({ ...moved, marker: { ...marker, worker: 'another' } })).toEqual({ ...resume, colleague: true });
  });

  test('was moved by a stranger if the marker names this worker', () => {
    expect(judge({ ...moved, marker: { ...marker, worker } })).toMatchObject({
      kind: 'moved',
      certain: true,
      error: { code: 'SLOT_MOVED', message: "the slot 'worker' is at 0/30, but only 0/20 was acknowledged" },
      gap: { from: '0/20', to: '0/30' },
    });
  });

  test('may have been moved by either if the marker names no worker', () => {
    expect(judge({ ...moved, marker })).toMatchObject({ kind: 'moved', certain: false });
    expect(judge(moved)).toMatchObject({ kind: 'moved', certain: false });
  });

  test('is not judged while another worker has it', () => {
    const taken = { ...moved.slot, activePid: 7 };
    const ours = { ...moved, slot: taken, marker: { ...marker, worker } };
    expect(judge(ours)).toEqual(resume);
    // A session of this worker that the server has not ended yet is not another worker.
    expect(judge({ ...ours, pid: 7 }).kind).toBe('moved');
  });

  test('was re-created if the marker has a gap', () => {
    const gap = { from: '0/18', to: '0/30', reason: 'it was dropped' };
    expect(judge({ ...moved, marker: { ...marker, worker, gap } })).toEqual(resume);
  });
});

test('a slot without a position is still being created', () => {
  expect(judge({ slot: { ...slot, confirmedFlushLsn: undefined, restartLsn: undefined } })).toEqual({
    kind: 'beingCreated',
  });
});

test('a slot whose WAL is gone is lost, although the catalog does not show it, until it is re-created', () => {
  expect(judge({ slot, marker, lost: 'its WAL was removed' })).toEqual({
    kind: 'lost',
    from: '0/20',
    reason: 'its WAL was removed',
  });
  expect(judge({ slot, marker: { ...marker, gap: { to: '0/20', reason: 'x' } }, lost: 'its WAL was removed' })).toEqual(
    resume,
  );
});

test('a slot that was being re-created when the process ended is still lost', () => {
  expect(judge({ marker: { ...marker, gap: { from: '0/3', reason: 'it was invalidated' } } })).toEqual({
    kind: 'lost', from: '0/3', reason: 'it was invalidated',
  }); // prettier-ignore
});

test('a slot that moved since its last worker stopped was moved by someone else', () => {
  const stopped = { ...marker, worker: 'the last one', stopped: '0/18' };
  expect(judge({ slot, marker: stopped })).toMatchObject({
    kind: 'moved',
    certain: false,
    gap: { from: '0/18', to: '0/20' },
  });
  expect(judge({ slot, marker: { ...stopped, stopped: '0/20' } })).toEqual(resume);
});

test('changes that a version with fewer watchers acknowledged are a gap for a version that has these watchers', () => {
  const first = claimed(marker, { worker: 'a', watchers: ['users:inserted', 'users:updated'] }, '0/6');
  const fewer = claimed(first, { worker: 'b', watchers: ['users:updated'] }, '0/10');
  expect(fewer.paused).toEqual({ 'users:inserted': '0/10' });
  expect(judge({ slot, marker: fewer })).toEqual({
    ...resume,
    gap: { from: '0/10', to: '0/20', reason: "a worker without the watchers 'users:inserted' had the slot in between" },
  });
  // A watcher that no earlier version had misses nothing.
  expect(judge({ slot, marker: claimed(marker, { worker: 'b', watchers: ['users:updated'] }, '0/10') })).toEqual(
    resume,
  );
  expect(claimed(fewer, { worker: 'c', watchers: ['users:inserted', 'users:updated'] }, '0/20').paused).toEqual({});
});

test('a gap is kept until it was reported, and then removed from the marker', () => {
  const gap = { from: '0/5', to: '0/20', reason: 'the slot was dropped' };
  const history = new History();
  history.begin(gap);
  streams(history);
  expect(history.gap).toEqual(gap);
  history.told();
  expect(history.gap).toBeUndefined();
  expect(claimed({ ...marker, gap }, { worker, watchers: [] }, '0/20')).not.toHaveProperty('gap');
});

describe('a stream', () => {
  const streaming = () => {
    const history = new History();
    streams(history);
    return history;
  };

  test('begins with nothing to continue, and then continues the changes of the same server', () => {
    const history = new History();
    expect(streams(history)).toBe('anew');
    expect([streams(history), history.gap]).toEqual(['continue', undefined]);
  });

  test('of a server whose WAL ends before the received position: it was restored to an earlier state', () => {
    const history = streaming();
    expect(streams(history, { end: 0x70n })).toBe('lost');
    expect(history.gap).toMatchObject({ from: '0/70', to: '0/80', reason: expect.stringContaining('restored') });
  });

  test('that repeats positions with other transactions: it was restored, and has written since', () => {
    const history = streaming();
    history.rewound('0/80', 0x60n);
    expect(streams(history)).toBe('lost');
    expect(history.gap).toMatchObject({ from: '0/60', to: '0/80' });
  });

  test('of a promoted server that has all received changes: nothing is missing, but they are sent again', () => {
    const history = streaming();
    expect(streams(history, { timeline: 2, switchedAt: 0x80n })).toBe('lost');
    expect(history.gap).toBeUndefined();
  });

  test('of a promoted server without the last changes, however much it has written since: a gap', () => {
    const history = streaming();
    expect(streams(history, { timeline: 2, switchedAt: 0x60n })).toBe('lost');
    expect(history.gap).toMatchObject({ from: '0/60', to: '0/80', reason: expect.stringContaining('promoted') });
    const unknown = streaming();
    streams(unknown, { timeline: 2, end: 0x70n });
    expect(unknown.gap).toMatchObject({ from: '0/70' });
  });

  test('of another cluster is a gap', () => {
    const history = streaming();
    expect(streams(history, { systemIdentifier: 'other' })).toBe('lost');
    expect(history.gap).toMatchObject({ from: '0/80', to: '0/100' });
  });

  test('of a re-created temporary slot is a gap, but received changes are still delivered', () => {
    const history = new History();
    expect(streams(history, { createdLsn: '0/90' })).toBe('anew');
    expect(history.gap).toBeUndefined();
    expect(streams(history, { createdLsn: '0/100', end: 0x100n })).toBe('anew');
    expect(history.gap).toMatchObject({ from: '0/80', to: '0/100' });
    expect(streams(history, { createdLsn: '0/70', end: 0x70n })).toBe('lost');
  });

  test('after another worker had the slot: received changes are sent again, or were handled', () => {
    const history = streaming();
    history.forget();
    expect([streams(history, { received: undefined }), history.gap]).toEqual(['lost', undefined]);
    expect(streams(history)).toBe('continue');
    // The slot may have been moved on another cluster.
    history.forget();
    expect(streams(history, { received: undefined, systemIdentifier: 'other' })).toBe('lost');
    expect(history.gap).toMatchObject({ reason: 'the address now leads to another database cluster' });
  });
});
