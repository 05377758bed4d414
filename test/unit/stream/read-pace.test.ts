import { describe, expect, test } from 'vitest';
import { ReadPace } from '../../../src/stream/read-pace.ts';

/** Runs with its own clock; each read has `bytes` bytes and is `after` milliseconds behind the last one. */
function reading() {
  const pace = new ReadPace();
  let now = 1000;
  const read = (bytes: number, after: number) => pace.pauseAfter(bytes, (now += after));
  let paused = 0;
  return {
    read,
    /** Reads like those of a server that is catching up, until they are paused. Returns their number. */
    catchUp: () => {
      for (let count = 1; count <= 1000; count++) if ((paused = read(500, 0.05)) > 0) return count;
      throw new Error('never paused');
    },
    /** Everything that arrived in the last pause: `rate` bytes for each millisecond. Returns how long the next pause is. */
    drain: (rate: number) => {
      let left = rate * paused;
      paused = read(Math.min(left, 16_384), paused);
      left -= Math.min(left, 16_384);
      while (paused === 0 && left > 0) {
        paused = read(Math.min(left, 65_536), 0);
        left -= Math.min(left, 65_536);
      }
      return paused > 0 ? paused : (paused = read(0, 0));
    },
  };
}

describe('reads are not delayed', () => {
  const atOnce: [string, bytes: number, after: number][] = [
    ['a thousand commits a second, each in three reads', 200, 0.34],
    ['many small messages', 100, 0.1],
    ['large rows, however many bytes they make', 65_536, 0.6],
  ];
  test.each(atOnce)('%s, for any length of time', (_, bytes, after) => {
    const { read } = reading();
    for (let count = 0; count < 10_000; count++) expect(read(bytes, after)).toBe(0);
  });

  test('with bursts that are shorter than those of a server that is catching up, again and again', () => {
    const { read } = reading();
    for (let round = 0; round < 100; round++) {
      expect(read(500, 20)).toBe(0);
      for (let count = 0; count < 30; count++) expect(read(500, 0.05)).toBe(0);
    }
  });
});

test.each([
  ['a server that is catching up', 500, 0.05],
  ['writers that commit thousands of times a second', 1500, 0.4],
])('reads without long breaks end in a pause: %s', (_, bytes, after) => {
  const { read } = reading();
  const pauses = Array.from({ length: 200 }, () => read(bytes, after));
  expect(pauses.findIndex((pause) => pause > 0)).toBeGreaterThan(16);
});

test('after a pause all waiting data is read before the next: a full read is followed by another, but not without limit', () => {
  const { read, catchUp } = reading();
  catchUp();
  expect(read(65_536, 1)).toBe(0);
  expect(read(65_536, 0.05)).toBe(0);
  expect(read(16_000, 0.05)).toBeGreaterThan(0); // not full: everything is read
  expect(Array.from({ length: 64 }, () => read(65_536, 0.05)).findIndex((pause) => pause > 0)).toBeGreaterThan(2);
});

test('the amount that Node reads ahead in a pause counts as full: there may be more behind it', () => {
  const { read, catchUp } = reading();
  catchUp();
  for (let count = 0; count < 100; count++) {
    expect(read(16_384, 3)).toBe(0);
    expect(read(10_000, 0.05)).toBeGreaterThan(0);
  }
});

test('over TLS, where a read returns a quarter, catching up is as fast: full reads follow each other without a pause', () => {
  const { read, catchUp } = reading();
  catchUp();
  const pauses = Array.from({ length: 60 }, () => read(16_400, 0.2));
  expect(pauses.every((pause) => pause === 0)).toBe(true);
});

describe('a pause is', () => {
  test.each([
    ['short while little arrives, so that it is delivered soon', 1100, 2],
    ['longer when more arrives', 3000, 6],
    ['at most 8 ms', 20_000, 8],
    ['shorter again when more would arrive than the sockets hold', 70_000, 3],
    ['a millisecond when even that is too long', 1_000_000, 1],
  ])('%s', (_, rate, length) => {
    const { drain, catchUp } = reading();
    catchUp();
    drain(rate);
    expect(drain(rate)).toBe(length);
    expect(drain(rate)).toBe(length);
  });
});

test('catching up continues while the pauses collect much data', () => {
  const { drain, catchUp } = reading();
  catchUp();
  for (let count = 0; count < 1000; count++) expect(drain(5000)).toBeGreaterThan(0);
});

test('pauses that collect little end it: the server is live again, and data is read at once', () => {
  const { read, drain, catchUp } = reading();
  catchUp();
  const pauses = Array.from({ length: 10 }, () => drain(200));
  expect(pauses.indexOf(0)).toBeGreaterThan(0); // one such pause does not: between transactions a server pauses as well
  expect(pauses.slice(pauses.indexOf(0)).every((pause) => pause === 0)).toBe(true);
  for (let count = 0; count < 1000; count++) expect(read(200, 0.6)).toBe(0);
});

test('such a pause now and then does not end it', () => {
  const { drain, catchUp } = reading();
  catchUp();
  for (let count = 0; count < 100; count++) expect(drain(count % 3 === 0 ? 20_000 : 200)).toBeGreaterThan(0);
});

test('a server that falls behind again is detected again', () => {
  const { drain, catchUp } = reading();
  const first = catchUp();
  for (let count = 0; count < 20; count++) drain(200);
  expect(catchUp()).toBeLessThanOrEqual(first);
});
