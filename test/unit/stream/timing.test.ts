import { expect, test } from 'vitest';
import { judgeSilence, reconnectDelay, sessionTimeout, statusInterval } from '../../../src/stream/timing.ts';

test('status updates go three times within wal_sender_timeout, and every 10 s at least', () => {
  expect(statusInterval(3000)).toBe(1000);
  expect(statusInterval(20_000)).toBe(6666);
  expect(statusInterval(60_000)).toBe(10_000);
});

test('a tiny wal_sender_timeout does not become a storm of status updates', () => {
  expect(statusInterval(1)).toBe(100);
});

test('a server without a timeout, or with a very long one, still notices a dead peer within a minute', () => {
  expect(sessionTimeout(0)).toBe(60_000);
  expect(sessionTimeout(3_600_000)).toBe(60_000);
  expect(sessionTimeout(5000)).toBe(5000);
});

test('a silent peer is asked first, and given up before the next look would come after two timeouts', () => {
  expect(judgeSilence(999, 3000, false)).toBe('alive');
  expect(judgeSilence(1000, 3000, false)).toBe('ask');
  expect(judgeSilence(4000, 3000, false)).toBe('ask');
  expect(judgeSilence(4001, 3000, false)).toBe('dead');
});

test.each([1000, 2000, 3000, 20_000, 60_000])(
  'whenever a peer falls silent, that is noticed after one and within two wal_sender_timeouts of %i ms',
  (timeout) => {
    const interval = statusInterval(timeout);
    for (let lastByte = 0; lastByte < interval; lastByte += interval / 97) {
      for (const late of [0, 1, 15]) {
        // The looks: the first one after the last byte takes it for new.
        let now = interval;
        const heardAt = now;
        const asked: number[] = [];
        let verdict = judgeSilence(0, timeout, false);
        while (verdict !== 'dead') {
          if (verdict === 'ask') asked.push(now);
          now += interval + late; // timers are late, and never early
          verdict = judgeSilence(now - heardAt, timeout, false);
        }
        expect(now - lastByte).toBeGreaterThanOrEqual(timeout);
        expect(now - lastByte).toBeLessThanOrEqual(timeout * 2 + late * 6);
        // A server that is asked answers at once, so one that was asked several times is not merely idle.
        expect(asked.length).toBeGreaterThanOrEqual(2);
      }
    }
  },
);

test('a paused reader hears nothing, and judges nobody', () => {
  expect(judgeSilence(1_000_000, 3000, true)).toBe('alive');
});

test('attempts to connect begin soon and become rarer, up to a limit', () => {
  const delays = (retry: 'soon' | 'slowly') =>
    [1, 2, 3, 7, 8, 1000].map((failures) => reconnectDelay(retry, failures, 1));
  expect(delays('soon')).toEqual([100, 200, 400, 6400, 10_000, 10_000]);
  expect(delays('slowly')).toEqual([1000, 2000, 4000, 60_000, 60_000, 60_000]);
});

test('up to a half of the delay is random, so that many workers do not come back at once', () => {
  expect(reconnectDelay('soon', 2, 0)).toBe(100);
  expect(reconnectDelay('soon', 2, 0.5)).toBe(150);
  expect(reconnectDelay('soon', 2, 0.999)).toBe(200);
});
