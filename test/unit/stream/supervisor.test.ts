import { describe, expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { classify } from '../../../src/setup/classify.ts';
import { Supervisor } from '../../../src/stream/supervisor.ts';
import { provenAfter } from '../../../src/stream/timing.ts';
import { useFakeTime } from '../../support/fake-time.ts';

const names = { slot: 'worker', publication: 'accounts' };
const classified = { classify: (cause: unknown) => classify(cause, names) };
const lost = () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });

useFakeTime({ random: 1 });

/** `outcomes`: how each attempt ends; a pending promise is a connection that is up. */
function supervise(outcomes: readonly (() => Promise<void>)[]) {
  const delays: number[] = [];
  let attempts = 0;
  const supervisor: Supervisor = new Supervisor({
    ...classified,
    attempt: () => ({ run: () => outcomes[attempts++]!() }),
    disconnected: (_, retryIn) => delays.push(retryIn),
  });
  return { supervisor, delays, attempts: () => attempts };
}
const up = () => new Promise<void>(() => {});
const fails = () => Promise.reject(lost());

test('a lost connection is retried with backoff', async () => {
  const { supervisor, delays, attempts } = supervise([fails, fails, fails, up]);
  void supervisor.run();
  await vi.advanceTimersByTimeAsync(99);
  expect(attempts()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(attempts()).toBe(2);
  await vi.advanceTimersByTimeAsync(200 + 400);
  expect(attempts()).toBe(4);
  expect(delays).toEqual([100, 200, 400]);
});

describe('the delay starts small again', () => {
  /** Streams for `milliseconds`, then fails. */
  const streams = (supervisor: () => Supervisor, milliseconds: number) => async () => {
    supervisor().began();
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return fails();
  };

  test('after a stream that acknowledged something', async () => {
    const { supervisor, delays } = supervise([
      fails,
      fails,
      () => {
        supervisor.began();
        supervisor.succeeded();
        return fails();
      },
      up,
    ]);
    void supervisor.run();
    await vi.advanceTimersByTimeAsync(1000);
    expect(delays).toEqual([100, 200, 100]);
  });

  test('after a stream that lasted', async () => {
    const { supervisor, delays } = supervise([fails, fails, streams(() => supervisor, provenAfter + 1), up]);
    void supervisor.run();
    await vi.advanceTimersByTimeAsync(1000 + provenAfter);
    expect(delays).toEqual([100, 200, 100]);
  });

  test('but not after a stream that dies soon: that would be repeated many times a second', async () => {
    const short = streams(() => supervisor, provenAfter / 10);
    const { supervisor, delays } = supervise([short, short, short, short, up]);
    void supervisor.run();
    await vi.advanceTimersByTimeAsync(2 * provenAfter);
    expect(delays).toEqual([100, 200, 400, 800]);
    supervisor.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});

const busy = (code: string) => () => Promise.reject(Object.assign(new Error('not now'), { code }));

test('a busy server is retried slowly', async () => {
  const { supervisor, delays } = supervise([busy('53300'), busy('53300'), up]);
  void supervisor.run();
  await vi.advanceTimersByTimeAsync(3000);
  expect(delays).toEqual([1000, 2000]);
});

test('failures of one kind do not delay those of another: a server that restarts is back in seconds', async () => {
  const { supervisor, delays } = supervise([
    fails,
    fails,
    fails,
    busy('57P03'),
    busy('57P03'),
    busy('53300'),
    fails,
    up,
  ]);
  void supervisor.run();
  await vi.advanceTimersByTimeAsync(5000);
  expect(delays).toEqual([100, 200, 400, 100, 200, 1000, 800]);
});

test('a permanent error ends it at once, even after other attempts', async () => {
  const wrongPassword = Object.assign(new Error('password authentication failed'), { code: '28P01' });
  const { supervisor, delays, attempts } = supervise([fails, () => Promise.reject(wrongPassword), up]);
  const run = expect(supervisor.run()).rejects.toMatchObject({ code: 'AUTHENTICATION', cause: wrongPassword });
  await vi.advanceTimersByTimeAsync(100);
  await run;
  expect([attempts(), delays.length]).toEqual([2, 1]);
});

test('an attempt that cannot even be created counts as a failed one', async () => {
  const error = new WatchError('CONFIGURATION', 'no');
  const supervisor = new Supervisor({
    ...classified,
    attempt: () => {
      throw error;
    },
    disconnected: () => {},
  });
  await expect(supervisor.run()).rejects.toBe(error);
});

test('stop() while connected: no attempt follows, and run() resolves', async () => {
  const { supervisor, attempts, delays } = supervise([
    () => {
      supervisor.stop();
      return fails();
    },
    up,
  ]);
  await supervisor.run();
  expect([attempts(), delays]).toEqual([1, []]);
});

test('stop() before the next attempt: run() resolves without waiting', async () => {
  const { supervisor, attempts } = supervise([fails, up]);
  const run = supervisor.run();
  await vi.advanceTimersByTimeAsync(50);
  supervisor.stop();
  await run;
  expect([attempts(), vi.getTimerCount()]).toEqual([1, 0]);
});

test('stop() while a loss is being reported: no attempt follows', async () => {
  let attempts = 0;
  const supervisor: Supervisor = new Supervisor({
    ...classified,
    attempt: () => ({ run: () => (attempts++, fails()) }),
    disconnected: () => supervisor.stop(),
  });
  await supervisor.run();
  expect([attempts, vi.getTimerCount()]).toEqual([1, 0]);
});

test('an attempt that ends without an error is followed by another one', async () => {
  const { supervisor, attempts } = supervise([() => Promise.resolve(), up]);
  void supervisor.run();
  await vi.advanceTimersByTimeAsync(0);
  expect(attempts()).toBe(2);
});
