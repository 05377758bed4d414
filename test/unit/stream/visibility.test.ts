import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isVisible, parseSnapshot, widenXid } from '../../../src/stream/visibility.ts';

const wrap = 2 ** 32;
const xmaxima = fc.integer({ min: 3, max: 2 ** 50 });
/** A transaction at most half a wrap from xmax, as PostgreSQL ensures. */
const near = xmaxima.chain((xmax) =>
  fc.tuple(fc.constant(xmax), fc.integer({ min: Math.max(0, xmax - wrap / 2 + 1), max: xmax + wrap / 2 - 1 })),
);

test('a snapshot is parsed as PostgreSQL writes it; the list of a standby is unknown', () => {
  expect(parseSnapshot('10:20:10,14', false)).toEqual({ xmin: 10, xmax: 20, inProgress: new Set([10, 14]) });
  expect(parseSnapshot('10:10:', false)).toEqual({ xmin: 10, xmax: 10, inProgress: new Set() });
  expect(parseSnapshot('4294967296:4294967300:4294967298', false).inProgress).toEqual(new Set([4_294_967_298]));
  expect(parseSnapshot('10:20:', true)).toEqual({ xmin: 10, xmax: 20, inProgress: undefined });
});

test('a 32-bit xid is widened to the one that is nearest to xmax', () => {
  fc.assert(fc.property(near, ([xmax, full]) => widenXid(full % wrap, xmax) === full));
});

test('a widened xid keeps its lower 32 bits, and is at most half a wrap away', () => {
  fc.assert(
    fc.property(fc.nat({ max: wrap - 1 }), xmaxima, (xid, xmax) => {
      const full = widenXid(xid, xmax);
      expect((((full - xid) % wrap) + wrap) % wrap).toBe(0);
      expect(Math.abs(full - xmax)).toBeLessThanOrEqual(wrap / 2);
    }),
  );
});

test('a transaction that ended before the snapshot is visible, one in progress or begun later is not', () => {
  const snapshot = parseSnapshot('100:110:102,105', false);
  const seen = [99, 100, 101, 102, 103, 105, 109, 110, 111].filter((xid) => isVisible(xid, snapshot));
  expect(seen).toEqual([99, 100, 101, 103, 109]);
});

test('on a standby only transactions older than xmin are known to be visible', () => {
  const snapshot = parseSnapshot('100:110:', true);
  expect([99, 100, 105, 110].filter((xid) => isVisible(xid, snapshot))).toEqual([99]);
});

test('visibility is correct across the wraparound of xids', () => {
  const after = parseSnapshot(`${wrap + 5}:${wrap + 10}:${wrap + 5}`, false);
  expect(isVisible(wrap - 1, after)).toBe(true); // just before the wraparound
  expect(isVisible(5, after)).toBe(false); // in progress
  expect(isVisible(6, after)).toBe(true);
  expect(isVisible(12, after)).toBe(false); // begun since
  const before = parseSnapshot(`${wrap - 5}:${wrap - 5}:`, false);
  expect(isVisible(3, before)).toBe(false); // begun since, and past the wraparound
});

test('any transaction in the list is invisible, and any other below xmax is visible', () => {
  fc.assert(
    fc.property(near, fc.uniqueArray(fc.nat({ max: 50 })), ([xmax, full], back) => {
      const inProgress = new Set(back.map((distance) => xmax - 1 - distance));
      const xmin = Math.min(xmax, ...inProgress);
      expect(isVisible(full % wrap, { xmin, xmax, inProgress })).toBe(full < xmax && !inProgress.has(full));
    }),
  );
});
