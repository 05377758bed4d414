import { afterEach, beforeEach, vi } from 'vitest';

type FakeTimers = NonNullable<Parameters<typeof vi.useFakeTimers>[0]>;

export interface FakeTime extends FakeTimers {
  /** What `Math.random` returns, so that delays are exact. 1 gives the longest. */
  readonly random?: number;
}

/**
 * At the top of a test file: its tests run with fake timers, and their spies end with each test. Returns a function that
 * lets time pass; without an argument it only lets settled promises continue.
 */
export function useFakeTime({ random, ...options }: FakeTime = {}): (milliseconds?: number) => Promise<unknown> {
  beforeEach(() => {
    vi.useFakeTimers(options);
    if (random !== undefined) vi.spyOn(Math, 'random').mockReturnValue(random);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });
  return (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);
}
