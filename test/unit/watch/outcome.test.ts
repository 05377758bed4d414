import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
import { ObservedPromise } from '../../../src/watch/observed-promise.ts';
import { Outcome, stopped } from '../../../src/watch/outcome.ts';

const unhandled = vi.fn();
const warned = vi.fn();
const immediately = () => new Promise((resolve) => setImmediate(resolve));
const error = new WatchError('SLOT_LOST', 'it was dropped', { solution: 'start anew' });

beforeEach(() => {
  process.on('unhandledRejection', unhandled);
  vi.spyOn(process, 'emitWarning').mockImplementation(warned);
});
afterEach(() => {
  process.off('unhandledRejection', unhandled);
  vi.restoreAllMocks();
  expect(unhandled).not.toHaveBeenCalled();
  warned.mockReset();
});

describe('an observed promise', () => {
  test('is never an unhandled rejection, and knows that nobody waits for it', async () => {
    const promise = ObservedPromise.of(Promise.reject(error));
    await immediately();
    expect(promise.observed).toBe(false);
  });

  test.each([
    [
      'await',
      async (promise: Promise<unknown>) => {
        await promise;
      },
    ],
    ['catch', (promise: Promise<unknown>) => promise.catch(() => {})],
    ['finally', (promise: Promise<unknown>) => promise.finally(() => {}).catch(() => {})],
    ['Promise.all', (promise: Promise<unknown>) => Promise.all([promise, Promise.resolve()])],
  ])('knows that somebody does, by %s', async (_, wait) => {
    const promise = ObservedPromise.of(Promise.resolve(7));
    await wait(promise);
    expect(promise.observed).toBe(true);
  });

  test('settles as the one it stands for, and what is made of it is a plain promise', async () => {
    await expect(ObservedPromise.of(Promise.resolve(7))).resolves.toBe(7);
    const rejected = ObservedPromise.of(Promise.reject(error));
    await expect(rejected).rejects.toBe(error);
    expect(rejected.catch(() => {})).not.toBeInstanceOf(ObservedPromise);
  });
});

describe('start() and closed', () => {
  test('resolve once streaming and once stopped', async () => {
    const outcome = new Outcome();
    outcome.streaming();
    await outcome.started;
    outcome.ending(stopped()); // too late for start()
    outcome.stopped();
    await Promise.all([outcome.started, outcome.closed, outcome.over]);
  });

  test('start() rejects with what ended the watch before that', async () => {
    const outcome = new Outcome();
    outcome.ending(stopped());
    outcome.stopped();
    await expect(outcome.started).rejects.toMatchObject({ code: 'STOPPED' });
    await outcome.closed;
  });

  test('closed rejects with the error that ended it', async () => {
    const outcome = new Outcome();
    outcome.over.catch(() => {});
    outcome.failed(error, false);
    await expect(outcome.closed).rejects.toBe(error);
  });
});

describe('a fatal error', () => {
  const failing = async (heard: boolean, observe: (outcome: Outcome) => void = () => {}) => {
    const outcome = new Outcome();
    outcome.over.catch(() => {});
    observe(outcome);
    outcome.ending(error);
    outcome.failed(error, heard);
    await immediately();
    return warned.mock.calls;
  };

  test('that nobody awaits, listens for or logs is given to the process', async () => {
    expect(await failing(false)).toEqual([
      ['walwatch has ended: it was dropped', { code: 'SLOT_LOST', detail: 'start anew' }],
    ]);
  });

  test('is given without a detail when there is nothing to do about it', async () => {
    const outcome = new Outcome();
    outcome.over.catch(() => {});
    outcome.failed(new WatchError('STOPPED', 'over'), false);
    await immediately();
    expect(warned.mock.calls).toEqual([['walwatch has ended: over', { code: 'STOPPED' }]]);
  });

  test('is not when somebody heard of it by other means', async () => {
    expect(await failing(true)).toEqual([]);
  });

  test('is not when somebody waits for start() or closed', async () => {
    expect(await failing(false, ({ closed }) => void closed.catch(() => {}))).toEqual([]);
    expect(await failing(false, ({ started }) => void started.catch(() => {}))).toEqual([]);
  });
});
