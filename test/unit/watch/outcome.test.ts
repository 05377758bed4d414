import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { Outcome, refusedStart, stopped } from '../../../src/watch/outcome.ts';

const unhandled = vi.fn();
const immediately = () => new Promise((resolve) => setImmediate(resolve));
const error = new WatchError('SLOT_LOST', 'it was dropped', { solution: 'start anew' });

beforeEach(() => void process.on('unhandledRejection', unhandled));
afterEach(async () => {
  await immediately();
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

describe('start() and closed', () => {
  test('resolve once streaming and once stopped', async () => {
    const outcome = new Outcome();
    outcome.streaming();
    await outcome.started;
    outcome.stopped();
    await Promise.all([outcome.started, outcome.closed, outcome.over]);
  });

  test('resolve when the watch is stopped before it streams: that is a normal end', async () => {
    const outcome = new Outcome();
    outcome.stopped();
    await Promise.all([outcome.started, outcome.closed]);
  });

  test('reject with what ended the watch, start() only before it streamed', async () => {
    const [never, later] = [new Outcome(), new Outcome()];
    later.streaming();
    for (const outcome of [never, later]) {
      outcome.failing(error);
      outcome.failed(error);
      await expect(outcome.closed).rejects.toBe(error);
      await expect(outcome.over).rejects.toBe(error);
    }
    await expect(never.started).rejects.toBe(error);
    await later.started;
  });
});

describe('an error is noticed', () => {
  const failed = (wait: (outcome: Outcome) => unknown) => {
    const outcome = new Outcome();
    wait(outcome);
    outcome.failing(error);
    outcome.failed(error);
    return immediately().then(() => outcome.isAwaited);
  };

  test('by no caller that has only called start(), or read closed', async () => {
    expect(await failed(({ started, closed }) => [started, closed])).toBe(false);
  });

  test.each([
    ['then', (promise: Promise<void>) => promise.then(undefined, () => {})],
    ['catch', (promise: Promise<void>) => promise.catch(() => {})],
    ['finally', (promise: Promise<void>) => promise.finally(() => {}).catch(() => {})],
    ['Promise.race', (promise: Promise<void>) => Promise.race([promise, new Promise(() => {})])],
  ])('by a caller that waits with %s', async (_, wait) => {
    for (const which of ['started', 'closed'] as const)
      expect(await failed((outcome) => Promise.resolve(wait(outcome[which])).catch(() => {}))).toBe(true);
  });

  test('by a caller that awaits', async () => {
    const waiting = async (promise: Promise<void>) => {
      await promise;
    };
    expect(await failed((outcome) => waiting(outcome.closed).catch(() => {}))).toBe(true);
    expect(await failed((outcome) => waiting(outcome.started).catch(() => {}))).toBe(true);
  });

  test('by no caller that has only awaited start(), once it has streamed', async () => {
    const outcome = new Outcome();
    outcome.streaming();
    await outcome.started;
    outcome.failing(error);
    outcome.failed(error);
    expect(outcome.isAwaited).toBe(false);
  });

  test('by no code of walwatch itself', async () => {
    expect(await failed(({ over }) => over.catch(() => {}))).toBe(false);
  });
});

test('a start() that is refused rejects without an unhandled rejection', async () => {
  const refused = refusedStart(stopped());
  await immediately();
  expect(refused.isAwaited).toBe(false);
  await expect(refused).rejects.toMatchObject({ code: 'STOPPED' });
  expect(refused.isAwaited).toBe(true);
});
