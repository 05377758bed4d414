import { expect, test, vi } from 'vitest';
import { handling } from '../../support/delivering.ts';
import { useFakeTime } from '../../support/fake-time.ts';

useFakeTime({ random: 1 });

const hanging = (settings: Parameters<typeof handling>[0]) => handling({ name: 'mail', timeout: 1000, ...settings });

test('an attempt that times out has failed: its signal is aborted, and the failure has the code HANDLER_TIMEOUT', async () => {
  const { send, one, calls, failures } = hanging({});
  send(one, '1');
  await vi.advanceTimersByTimeAsync(999);
  expect([calls[0]!.signal.aborted, failures]).toEqual([false, []]);
  await vi.advanceTimersByTimeAsync(1);
  expect(calls[0]!.signal.reason).toMatchObject({ code: 'HANDLER_TIMEOUT' });
  expect(failures).toMatchObject([{ error: { code: 'HANDLER_TIMEOUT' }, action: 'retry', attempt: 1, retryIn: 100 }]);
});

test.each(['resolves', 'rejects'])(
  'the next attempt begins only once the handler has settled: it %s late',
  async (how) => {
    const { send, one, calls, failures, ledger } = hanging({});
    send(one, '1');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(calls).toHaveLength(1);
    if (how === 'resolves') calls[0]!.resolve();
    else calls[0]!.reject(new Error('aborted'));
    await vi.advanceTimersByTimeAsync(99);
    expect([calls.length, ledger.confirmed, failures.length]).toEqual([1, undefined, 1]);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls[1]).toMatchObject({ attempt: 2, signal: { aborted: false } });
    calls[1]!.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect([ledger.confirmed, vi.getTimerCount()]).toEqual([1n, 0]);
  },
);

test('a handler that finishes or fails in time does not time out later', async () => {
  const { send, one, calls, failures } = hanging({});
  for (const id of ['1', '2']) send(one, id);
  await vi.advanceTimersByTimeAsync(500);
  calls[0]!.resolve();
  await vi.advanceTimersByTimeAsync(999); // the second attempt has its full timeout
  expect([calls.length, failures]).toEqual([2, []]);
  calls[1]!.resolve();
  await vi.runAllTimersAsync();
  expect(failures).toEqual([]);
});

test('a handler that fails in time does not time out while it waits for its next attempt', async () => {
  const { send, one, calls, failures } = hanging({});
  send(one, '1');
  for (const attempt of [1, 2, 3, 4, 5]) {
    calls[attempt - 1]!.reject(new Error('broken'));
    await vi.advanceTimersByTimeAsync(100 * 2 ** (attempt - 1));
  }
  expect(calls).toHaveLength(6);
  expect(failures.map(({ error }) => (error as Error).message)).toEqual(Array(5).fill('broken'));
});

test('an event that is skipped after a timeout is handled only once its handler has settled, so nothing overlaps', async () => {
  const { send, one, calls, ledger } = hanging({ onError: () => 'skip' });
  for (const id of ['1', '2']) send(one, id);
  await vi.advanceTimersByTimeAsync(5000);
  expect([calls.length, ledger.confirmed]).toEqual([1, undefined]);
  calls[0]!.resolve();
  await vi.advanceTimersByTimeAsync(0);
  expect([calls.length, ledger.confirmed]).toEqual([2, 1n]);
});

test('a stop after a timeout takes effect at once', async () => {
  const { send, one, stops, ledger, calls } = hanging({ onError: () => 'stop' });
  send(one, '1');
  await vi.advanceTimersByTimeAsync(1000);
  expect(stops).toMatchObject([{ code: 'HANDLER_FAILED', cause: { code: 'HANDLER_TIMEOUT' } }]);
  calls[0]!.resolve();
  await vi.runAllTimersAsync();
  expect([calls.length, ledger.confirmed]).toEqual([1, undefined]);
});
