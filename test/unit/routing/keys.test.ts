import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isScalar, joinKey, keyOf, scalarText } from '../../../src/routing/keys.ts';

test('42, "42" and 42n are the same key, and true and false are those of PostgreSQL', () => {
  expect([42, '42', 42n].map(scalarText)).toEqual(['42', '42', '42']);
  expect([true, false, null].map(scalarText)).toEqual(['t', 'f', null]);
  expect(scalarText(2n ** 63n - 1n)).toBe('9223372036854775807');
});

test('a scalar is a string, a number, a bigint, a boolean or null', () => {
  expect(['', 0, 0n, false, null].every(isScalar)).toBe(true);
  expect([undefined, {}, [], new Date(0), () => {}, Symbol('s')].some(isScalar)).toBe(false);
});

describe('the key of one value', () => {
  test('is a number if the text is what PostgreSQL writes for a natural number of up to nine digits', () => {
    expect(['0', '7', '42', '999999999'].map(keyOf)).toEqual([0, 7, 42, 999_999_999]);
  });

  test('is the text otherwise', () => {
    const others = ['', '007', '00', '-1', '+1', '1.0', '1e3', ' 1', '1 ', '1000000000', '\u0661', 'a1', 'NaN'];
    expect(others.map(keyOf)).toEqual(others);
  });

  test('differs if the texts differ', () => {
    const texts = fc.oneof(fc.string({ maxLength: 4, unit: fc.constantFrom('0', '1', '9', '-', ' ') }), fc.nat().map(String)); // prettier-ignore
    fc.assert(
      fc.property(texts, texts, (one, other) => {
        expect(keyOf(one) === keyOf(other)).toBe(one === other);
      }),
      { numRuns: 2000 },
    );
  });
});

test('a key of several values is equal for equal values, and for no others', () => {
  const texts = fc.array(fc.option(fc.string({ maxLength: 3, unit: fc.constantFrom('a', '1', ':', ';', '-') })), { minLength: 2, maxLength: 3 }); // prettier-ignore
  fc.assert(
    fc.property(texts, texts, (one, other) => {
      expect(joinKey(one) === joinKey(other)).toBe(JSON.stringify(one) === JSON.stringify(other));
    }),
    { numRuns: 2000 },
  );
});
