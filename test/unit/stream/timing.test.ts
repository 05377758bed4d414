import { expect, test } from 'vitest';
import { Silence } from '../../../src/stream/silence.ts';
import {
  deadAfter, lookInterval, reconnectDelay, sessionTimeout, silentAfter, statusInterval,
} from '../../../src/stream/timing.ts'; // prettier-ignore

test('status updates are sent three times within wal_sender_timeout, and at least every 10 s', () => {
  expect(statusInterval(3000)).toBe(1000);
  expect(statusInterval(20_000)).toBe(6666);
  expect(statusInterval(60_000)).toBe(10_000);
});

test('a tiny wal_sender_timeout does not cause a storm of status updates', () => {
  expect(statusInterval(1)).toBe(100);
});

test('with a long wal_sender_timeout or none, a dead peer is still noticed within a minute', () => {
  expect(sessionTimeout(0)).toBe(60_000);
  expect(sessionTimeout(3_600_000)).toBe(60_000);
  expect(sessionTimeout(5000)).toBe(5000);
});

test('a server that was asked counts as silent after 20 s, and sooner with a shorter wal_sender_timeout', () => {
  expect(silentAfter(60_000)).toBe(20_000);
  expect(silentAfter(3000)).toBe(2000);
});

test.each([300, 1000, 2000, 3000, 20_000, 60_000])(
  'a silent peer is noticed after one and within two wal_sender_timeouts of %i ms',
  (timeout) => {
    const look = lookInterval(timeout);
    for (let lastByte = 0; lastByte < look; lastByte += look / 17) {
      for (const late of [0, 1]) {
        const silence = new Silence(look);
        let now = 0;
        // The first look after the last byte sees it.
        for (let bytes = 0; silence.milliseconds < deadAfter(timeout); now += look + late) {
          if (now >= lastByte) bytes = 1;
          silence.look(bytes, false);
        }
        expect(now - lastByte).toBeGreaterThanOrEqual(timeout);
        expect(now - lastByte).toBeLessThanOrEqual(timeout * 2 * (1 + late / look));
      }
    }
    // It was asked several times since, and reported as silent before.
    expect(deadAfter(timeout)).toBeGreaterThanOrEqual(3 * statusInterval(timeout));
    expect(deadAfter(timeout)).toBeGreaterThan(silentAfter(timeout));
  },
);

test('attempts to connect begin soon and become rarer, up to a limit', () => {
  const delays = (retry: 'soon' | 'slowly') =>
    [1, 2, 3, 7, 8, 1000].map((failures) => reconnectDelay(retry, failures, 1));
  expect(delays('soon')).toEqual([100, 200, 400, 6400, 10_000, 10_000]);
  expect(delays('slowly')).toEqual([1000, 2000, 4000, 60_000, 60_000, 60_000]);
});

test('up to half of the delay is random, so that many workers do not reconnect at once', () => {
  expect(reconnectDelay('soon', 2, 0)).toBe(100);
  expect(reconnectDelay('soon', 2, 0.5)).toBe(150);
  expect(reconnectDelay('soon', 2, 0.999)).toBe(200);
});
