import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareLsn, formatLsn, parseLsn } from '../../../src/postgres/lsn.ts';

const lsn = fc.bigInt(0n, 2n ** 64n - 1n);

test("positions are parsed and formatted like PostgreSQL's pg_lsn", () => {
  const examples = { '0/0': 0n, '16/B374D848': 0x16_b374_d848n, '1/A': 0x1_0000_000an, '7FFF/0': 0x7fff_0000_0000n };
  for (const [text, position] of Object.entries(examples)) {
    expect(parseLsn(text)).toBe(position);
    expect(formatLsn(position)).toBe(text);
  }
  expect(parseLsn('ffffffff/ffffffff')).toBe(2n ** 64n - 1n);
});

test('every position is the same after formatting and parsing', () => {
  fc.assert(fc.property(lsn, (position) => parseLsn(formatLsn(position)) === position));
});

test('positions are ordered by value, not by text', () => {
  expect(['10/0', '9/FF', '9/0', 'A/0'].toSorted(compareLsn)).toEqual(['9/0', '9/FF', 'A/0', '10/0']);
  expect(compareLsn('16/B374D848', '16/b374d848')).toBe(0);
  fc.assert(
    fc.property(lsn, lsn, (a, b) => {
      expect(compareLsn(formatLsn(a), formatLsn(b))).toBe(a < b ? -1 : a > b ? 1 : 0);
    }),
  );
});

test('text that is not a position is refused, and the error shows it', () => {
  for (const text of ['', '0', '/', '0/', '/0', '0/G', '0x1/0', ' 0/0', '0/0\n', '0/123456789', '123456789/0', '1/2/3'])
    expect(() => parseLsn(text)).toThrow(`invalid LSN ${JSON.stringify(text)}: expected`);
  expect(() => compareLsn('0/0', 'x')).toThrow(TypeError);
  expect(() => compareLsn('x', '0/0')).toThrow(TypeError);
});
