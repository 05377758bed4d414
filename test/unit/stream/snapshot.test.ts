import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { beforeEach, expect, test, vi } from 'vitest';
import type { Session } from '../../../src/postgres/session.ts';
import { snapshotsOf, untilVisible } from '../../../src/stream/snapshot.ts';

vi.mock('node:timers/promises', () => ({ setTimeout: vi.fn(() => Promise.resolve()) }));
beforeEach(() => void vi.mocked(delay).mockClear());

/** A server on which the transaction 10 is in progress for so many questions. */
function taking(inProgress: number) {
  let asked = 0;
  return () => Promise.resolve({ xmin: 10, xmax: 20, inProgress: new Set(asked++ < inProgress ? [10] : []) });
}

test('what is visible at once is not waited for', async () => {
  await untilVisible(taking(0), 10);
  expect(delay).not.toHaveBeenCalled();
});

test('what is not is asked about less and less often, every 50 ms at last', async () => {
  await untilVisible(taking(8), 10);
  expect(vi.mocked(delay).mock.calls.flat()).toEqual([1, 2, 4, 8, 16, 32, 50, 50]);
});

test('a lost connection ends the waiting', async () => {
  await expect(untilVisible(() => Promise.reject(new Error('lost')), 10)).rejects.toThrow('lost');
});

test("a snapshot is PostgreSQL's, of which a standby does not know what is in progress", async () => {
  const query = vi.fn(() => Promise.resolve({ rows: [{ snapshot: '10:20:12' }] }));
  const session = {
    use: (task: (client: Client) => unknown) => task({ query } as unknown as Client),
  } as unknown as Session;
  expect(await snapshotsOf(session, false)()).toEqual({ xmin: 10, xmax: 20, inProgress: new Set([12]) });
  expect(await snapshotsOf(session, true)()).toEqual({ xmin: 10, xmax: 20, inProgress: undefined });
  expect(query.mock.calls.flat()).toEqual(Array(2).fill(expect.stringContaining('pg_current_snapshot()::text')));
});
