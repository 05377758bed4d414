import { describe, expect, test } from 'vitest';
import { ReadPace } from '../../../src/replication/read-pace.ts';

/** Steps a clock of its own; each read is `bytes` long and `after` milliseconds behind the last one. */
function reading() {
  const pace = new ReadPace();
  let now = 1000;
  const read = (bytes: number, after: number) => pace.shouldPause(bytes, (now += after));
  return {
    read,
    /** As the server does that is catching up: until it is paused. Returns how many reads that took. */
    catchUp: () => {
      for (let count = 1; count <= 1000; count++) if (read(500, 0.05)) return count;
      throw new Error('never paused');
    },
  };
}

describe('read at once is', () => {
  test('whatever comes with breaks between, however much and for however long', () => {
    const { read } = reading();
    for (let count = 0; count < 10_000; count++) expect(read(count % 3 === 0 ? 65_536 : 100, 0.3)).toBe(false);
  });

  test('a burst that is shorter than what a server sends that is catching up, again and again', () => {
    const { read } = reading();
    for (let round = 0; round < 100; round++) {
      expect(read(500, 5)).toBe(false);
      for (let count = 0; count < 30; count++) expect(read(500, 0.05)).toBe(false);
    }
  });
});

test('reads without a break between end in a pause', () => {
  const { catchUp } = reading();
  expect(catchUp()).toBeGreaterThan(16);
});

test('after a pause all that piled up is read before the next: a full read is followed by another, but not for ever', () => {
  const { read, catchUp } = reading();
  catchUp();
  expect(read(65_536, 1)).toBe(false);
  expect(read(65_536, 0.05)).toBe(false);
  expect(read(20_000, 0.05)).toBe(true); // not full: there is no more
  expect(Array.from({ length: 8 }, () => read(65_536, 0.05)).indexOf(true)).toBeGreaterThan(2);
});

test('a pause counts as no break: it goes on as long as pauses bring much', () => {
  const { read, catchUp } = reading();
  catchUp();
  for (let count = 0; count < 1000; count++) expect(read(20_000, 1.2)).toBe(true);
});

test('pauses in vain end it: the server is live again, and read at once', () => {
  const { read, catchUp } = reading();
  catchUp();
  const pauses = Array.from({ length: 10 }, () => read(200, 1.2));
  expect(pauses.indexOf(false)).toBeGreaterThan(0); // one is no sign: between transactions a server pauses as well
  expect(pauses.slice(pauses.indexOf(false))).not.toContain(true);
  for (let count = 0; count < 1000; count++) expect(read(200, 0.3)).toBe(false);
});

test('a vain pause now and then does not end it', () => {
  const { read, catchUp } = reading();
  catchUp();
  for (let count = 0; count < 100; count++) expect(read(count % 3 === 0 ? 20_000 : 200, 1.2)).toBe(true);
});

test('a server that falls behind again is noticed again', () => {
  const { read, catchUp } = reading();
  const first = catchUp();
  for (let count = 0; count < 20; count++) read(200, 1.2);
  expect(catchUp()).toBeLessThanOrEqual(first);
});
