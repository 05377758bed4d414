import { expect, test } from 'vitest';
import type { OnError } from '../../../src/types/delivery.ts';
import { decide, isErrorAction, retryDelay } from '../../../src/delivery/retry.ts';
import { afterAttempts, occurrence } from '../../support/delivering.ts';

const context = (attempt: number) => occurrence().context(attempt);
const error = new Error('broken');

test('retries begin after 0.1 s, double up to a minute, and never end', () => {
  expect([1, 2, 3, 10, 11, 1000].map((attempt) => retryDelay(attempt, 1))).toEqual([
    100, 200, 400, 51_200, 60_000, 60_000,
  ]);
});

test('up to half of the delay is random, so that many failures do not retry at once', () => {
  expect([0, 0.5, 1].map((random) => retryDelay(2, random))).toEqual([100, 150, 200]);
});

test("'retry' never gives up", () => {
  expect(decide('retry', error, context(1_000_000))).toEqual({ action: 'retry', error });
});

test('after the given number of attempts the final action follows', () => {
  const decisions = (onError: OnError) =>
    [1, 2, 3, 4].map((attempt) => decide(onError, error, context(attempt)).action);
  expect(decisions(afterAttempts(3, 'stop'))).toEqual(['retry', 'retry', 'stop', 'stop']);
  expect(decisions(afterAttempts(1, 'skip'))).toEqual(['skip', 'skip', 'skip', 'skip']);
});

test('a function decides at each failure, from the error and the attempt', () => {
  const told: unknown[] = [];
  const given = context(2);
  const onError = (...all: unknown[]) => {
    told.push(...all);
    return 'skip' as const;
  };
  expect(decide(onError, error, given)).toEqual({ action: 'skip', error });
  expect(told).toEqual([error, given]);
});

test('a permanent failure is not retried', () => {
  expect(decide(afterAttempts(5, 'skip'), error, context(1), true).action).toBe('skip');
  expect(decide('retry', error, context(1), true).action).toBe('retry'); // 'retry' has no final action
});

test('an onError that returns a promise, even one that rejects, is reported and means another attempt', async () => {
  for (const promise of [Promise.resolve('skip'), Promise.reject(new Error('later'))]) {
    const decided = decide((() => promise) as unknown as OnError, error, context(1));
    expect(decided).toEqual({ action: 'retry', error: new TypeError('onError must not return a promise') });
    expect((decided.error as Error).cause).toBe(error);
  }
  await new Promise(setImmediate); // vitest fails on unhandled rejections
});

test('only retry, stop and skip are actions', () => {
  expect(['retry', 'stop', 'skip'].every(isErrorAction)).toBe(true);
  expect([undefined, null, true, 'ignore', Promise.resolve('skip')].some(isErrorAction)).toBe(false);
});
