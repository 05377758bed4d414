import { expect, test, vi } from 'vitest';
import { Silence } from '../../../src/stream/silence.ts';
import { useFakeTime } from '../../support/fake-time.ts';

useFakeTime();

test('silence begins with the last look that saw a byte, and ends with the next byte', () => {
  const silence = new Silence(500);
  silence.look(10, false);
  const heardAt = Date.now();
  for (let looks = 1; looks <= 4; looks++) {
    vi.advanceTimersByTime(500);
    silence.look(10, false);
  }
  expect(silence.milliseconds).toBe(2000);
  expect(silence.since(2000)).toBe(heardAt);
  expect(silence.since(2001)).toBeUndefined();
  silence.look(11, false);
  expect([silence.milliseconds, silence.since(1)]).toEqual([0, undefined]);
});

test('while looks are paused the server never counts as silent, and earlier looks do not count', () => {
  const silence = new Silence(500);
  for (let looks = 0; looks < 100; looks++) silence.look(10, true);
  expect(silence.milliseconds).toBe(0);
  silence.look(10, false);
  expect(silence.milliseconds).toBe(500);
});

test('a process that was busy for a minute was not looking: the server does not count as silent', () => {
  const silence = new Silence(500);
  silence.look(10, false);
  vi.advanceTimersByTime(60_000);
  silence.look(10, false); // the timer runs before the arrived data is read
  expect(silence.milliseconds).toBe(500);
});
