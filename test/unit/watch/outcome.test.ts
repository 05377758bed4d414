import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WatchError } from '../../../src/errors.ts';
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

describe('start() and closed', () => {
  test('resolve once streaming and once stopped', async () => {
    const outcome = new Outcome();
    outcome.streaming();
    await outcome.started;
    outcome.ending(stopped()); // too late for start()
    outcome.stopped();
    await Promise.all([outcome.started, outcome.closed]);
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
    outcome.failed(error, false);
    await expect(outcome.closed).rejects.toBe(error);
  });
});

describe('a fatal error', () => {
  const failing = async (heard: boolean) => {
    const outcome = new Outcome();
    outcome.ending(error);
    outcome.failed(error, heard);
    await immediately();
    return warned.mock.calls;
  };

  test('that nobody listens for or logs is given to the process', async () => {
    expect(await failing(false)).toEqual([
      ['walwatch has ended: it was dropped', { code: 'SLOT_LOST', detail: 'start anew' }],
    ]);
  });

  test('is given without a detail when there is nothing to do about it', async () => {
    const outcome = new Outcome();
    outcome.failed(new WatchError('STOPPED', 'over'), false);
    await immediately();
    expect(warned.mock.calls).toEqual([['walwatch has ended: over', { code: 'STOPPED' }]]);
  });

  test('is not when somebody heard of it', async () => {
    expect(await failing(true)).toEqual([]);
  });
});
