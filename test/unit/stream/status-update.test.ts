import { expect, test } from 'vitest';
import { encodeStatusUpdate } from '../../../src/stream/status-update.ts';

const update = { write: 0x16_b374_d848n, flush: 0x16_b374_d800n, replyRequested: false };

test('a status update has the 34 bytes that PostgreSQL expects, with flush as flushed and applied position', () => {
  const bytes = encodeStatusUpdate(update, Date.UTC(2000, 0, 1));
  expect(bytes.toString('hex')).toBe(
    ['72', '00000016b374d848', '00000016b374d800', '00000016b374d800', '0000000000000000', '00'].join(''),
  );
});

test('the time is in whole microseconds since 2000-01-01, not 1970', () => {
  const time = (now: number) => encodeStatusUpdate(update, now).readBigInt64BE(25);
  expect(time(Date.UTC(2000, 0, 2))).toBe(86_400_000_000n);
  expect(time(Date.UTC(2000, 0, 1) + 1.9)).toBe(1000n);
  expect(time(Date.UTC(1999, 11, 31))).toBe(-86_400_000_000n);
});

test('the last byte asks for an answer', () => {
  expect(encodeStatusUpdate({ ...update, replyRequested: true }, 0)[33]).toBe(1);
});

test('positions above 2^63 keep their value', () => {
  const bytes = encodeStatusUpdate({ ...update, write: 2n ** 64n - 1n }, 0);
  expect(bytes.readBigUInt64BE(1)).toBe(2n ** 64n - 1n);
});
