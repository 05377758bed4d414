import { setTimeout as delay } from 'node:timers/promises';
import { beforeEach, expect, test, vi } from 'vitest';
import type { Session } from '../../../src/postgres/session.ts';
import { snapshotsOf, untilVisible } from '../../../src/stream/snapshot.ts';
import { isVisible } from '../../../src/stream/visibility.ts';

vi.mock('node:timers/promises', () => ({ setTimeout: vi.fn(() => Promise.resolve()) }));
beforeEach(() => void vi.mocked(delay).mockClear());

/** A server on which transaction 10 is in progress for this number of queries. */
function taking(inProgress: number) {
  let asked = 0;
  return () => Promise.resolve({ xmin: 10, xmax: 20, inProgress: new Set(asked++ < inProgress ? [10] : []) });
}

test('a visible transaction is not waited for', async () => {
  await untilVisible(taking(0), 10);
  expect(delay).not.toHaveBeenCalled();
});

test('an invisible transaction is asked about less and less often, in the end every 50 ms', async () => {
  await untilVisible(taking(8), 10);
  expect(vi.mocked(delay).mock.calls.flat()).toEqual([1, 2, 4, 8, 16, 32, 50, 50]);
});

test('a lost connection ends the waiting', async () => {
  await expect(untilVisible(() => Promise.reject(new Error('lost')), 10)).rejects.toThrow('lost');
});

function answering(...rows: object[]) {
  const ask = vi.fn<(...asked: unknown[]) => Promise<{ rows: (object | undefined)[] }>>(() =>
    Promise.resolve({ rows: [rows.length > 1 ? rows.shift() : rows[0]] }),
  );
  return { ask, take: snapshotsOf({ ask } as unknown as Session) };
}

test('a snapshot has the xids that PostgreSQL reports', async () => {
  const { ask, take } = answering({ snapshot: '10:20:12', standby: false });
  for (let times = 0; times < 2; times++)
    expect(await take(() => [15])).toEqual({ xmin: 10, xmax: 20, inProgress: new Set([12]) });
  expect(ask.mock.calls.map((call) => call.length)).toEqual([1, 1]);
});

test('a standby does not list transactions in progress, but answers which of those in question have committed', async () => {
  const { ask, take } = answering(
    { snapshot: '10:20:', standby: true },
    { snapshot: '10:20:', standby: true, committed: '15' },
  );
  expect(await take(() => [15])).toEqual({ xmin: 10, xmax: 20, inProgress: undefined });
  const snapshot = await take(() => [15, 16]);
  expect(ask.mock.lastCall?.[1]).toBe('{15,16}');
  expect([15, 16, 9].map((xid) => isVisible(xid, snapshot))).toEqual([true, false, true]);
});

test('a promoted standby is treated as a primary from the next answer on, even for pending questions', async () => {
  const { take } = answering(
    { snapshot: '10:20:', standby: true },
    { snapshot: '10:20:12', standby: false, committed: null },
    { snapshot: '10:20:12', standby: false, committed: '15' },
    { snapshot: '10:21:', standby: false },
  );
  await take(() => []);
  const answers = await Promise.all([take(() => [15, 12]), take(() => [15, 12])]);
  expect(answers.map((snapshot) => [15, 12].map((xid) => isVisible(xid, snapshot)))).toEqual(
    Array(2).fill([true, false]),
  );
  expect(await take(() => [15])).toEqual({ xmin: 10, xmax: 21, inProgress: new Set() });
});
