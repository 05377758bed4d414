import { describe, expect, test } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { type HealthFacts, judgeHealth } from '../../../src/observe/health.ts';
import type { SlotWatchStatus, WatchState } from '../../../src/types/events.ts';

const now = Date.UTC(2024, 0, 1, 12);

function judge(status: Partial<SlotWatchStatus>, more: Partial<HealthFacts> = {}) {
  return judgeHealth({
    status: {
      state: 'streaming', subscriptions: 1, running: 0, lastEventAt: undefined, error: undefined, slot: 'worker', publication: 'worker',
      receivedLsn: '0/1', confirmedLsn: '0/1', lagBytes: 0, silentSince: undefined, undeliveredBytes: 0, receiving: undefined, waitingForVisibility: false, heldBy: undefined, existing: [], ...status,
    },
    now, downSince: undefined, activePid: undefined, full: false, ...more,
  }); // prettier-ignore
}

test.each<[WatchState, live: boolean, ready: boolean]>([
  ['idle', true, false],
  ['connecting', true, false],
  ['standby', true, true],
  ['streaming', true, true],
  ['disconnected', true, false],
  ['stopping', true, false],
  ['stopped', false, false],
  ['failed', false, false],
])('%s: live %s, ready %s, with a reason unless all is well', (state, live, ready) => {
  const health = judge({ state }, { downSince: now, activePid: 7 });
  expect(health).toMatchObject({ live, ready });
  expect(health.reasons).toHaveLength(state === 'streaming' ? 0 : 1);
});

const lost = new WatchError('CONNECTION', 'connect ECONNREFUSED');

test('a lost connection is reported with its time and error, even while reconnecting', () => {
  const downSince = now - 90_000;
  const since = 'disconnected since 2024-01-01T11:58:30.000Z';
  expect(judge({ state: 'disconnected', error: lost }, { downSince }).reasons).toEqual([
    `${since}, retrying: CONNECTION, connect ECONNREFUSED`,
  ]);
  expect(judge({ state: 'connecting', error: lost }, { downSince }).reasons).toEqual([
    `reconnecting, ${since}: CONNECTION, connect ECONNREFUSED`,
  ]);
});

test('the error that ended the watch is reported', () => {
  const error = new WatchError('SLOT_LOST', 'the slot is gone');
  expect(judge({ state: 'failed', error }).reasons).toEqual(['ended by an error: SLOT_LOST, the slot is gone']);
});

test('the process that has the slot is reported while on standby', () => {
  expect(judge({ state: 'standby' }, { activePid: 4711 }).reasons).toEqual([
    "standing by: server process 4711 has the slot 'worker'",
  ]);
});

describe('while streaming', () => {
  const held = (since: number, attempt: number, error?: unknown) =>
    judge({
      heldBy: { subscription: 'mailer', eventId: '0/1/0', since: new Date(since), attempt, error },
    });

  test('an event is reported after 10 s or when it was retried, not before', () => {
    expect(held(now - 9_999, 1).reasons).toEqual([]);
    expect(held(now - 10_000, 1).reasons).toEqual([
      'subscription mailer has held back the slot since 2024-01-01T11:59:50.000Z: event 0/1/0, attempt 1',
    ]);
    expect(held(now, 2).reasons).toHaveLength(1);
  });

  test('a held slot stays ready, because a restart would not help, and hides the error of the handler', () => {
    const health = held(now - 60_000, 5, new Error('secret of the application'));
    expect(health).toMatchObject({ live: true, ready: true });
    expect(health.reasons.join()).not.toContain('secret');
  });

  test('full memory is reported', () => {
    expect(judge({ undeliveredBytes: 17_000_000 }, { full: true }).reasons).toEqual([
      'reading is paused: 17000000 bytes of changes are undelivered',
    ]);
  });

  test('a transaction that is not visible is reported after a second', () => {
    expect(judge({ waitingForVisibility: true }, { waitingSince: now - 999 }).reasons).toEqual([]);
    expect(judge({ waitingForVisibility: true }, { waitingSince: now - 1000 }).reasons).toEqual([
      'waiting since 2024-01-01T11:59:59.000Z for a transaction to become visible to other sessions',
    ]);
  });

  test('a silent server is live but not ready, with the time of the last byte: a restart would not help', () => {
    expect(judge({ silentSince: new Date(now - 20_000) })).toEqual({
      live: true,
      ready: false,
      reasons: ['the server has not answered since 2024-01-01T11:59:40.000Z'],
    });
  });

  test('findings of the last inspection are reported, and stay ready', () => {
    const found = [new WatchError('PUBLICATION_CHANGED', 'it does not publish update')];
    const reasons = ['PUBLICATION_CHANGED: it does not publish update'];
    expect(judge({}, { found })).toMatchObject({ ready: true, reasons });
    expect(judge({ state: 'disconnected' }, { found, downSince: now }).reasons).toHaveLength(1);
  });
});
