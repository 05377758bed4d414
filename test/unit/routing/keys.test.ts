import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalForm, isScalar, joinKey, keyOf, scalarText } from '../../../src/routing/keys.ts';
import { oids } from '../../support/sample-tables.ts';

test('42, "42" and 42n are the same key, and true and false are those of PostgreSQL', () => {
  expect([42, '42', 42n].map(scalarText)).toEqual(['42', '42', '42']);
  expect([true, false, null].map(scalarText)).toEqual(['t', 'f', null]);
  expect(scalarText(2n ** 63n - 1n)).toBe('9223372036854775807');
});

test('a scalar is a string, a number, a bigint, a boolean or null', () => {
  expect(['', 0, 0n, false, null].every(isScalar)).toBe(true);
  expect([undefined, {}, [], new Date(0), () => {}, Symbol('s')].some(isScalar)).toBe(false);
});

describe('values that PostgreSQL holds for equal have one form:', () => {
  const form = (typeOid: number, texts: readonly string[]) => new Set(texts.map(canonicalForm(typeOid)!));

  test('uuids in any case', () => {
    const uuid = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11';
    expect(form(oids.uuid, [uuid, uuid.toLowerCase()]).size).toBe(1);
  });

  test('booleans in the forms that people write', () => {
    expect(form(oids.bool, ['t', 'true', 'TRUE', '1'])).toEqual(new Set(['t']));
    expect(form(oids.bool, ['f', 'false', 'False', '0'])).toEqual(new Set(['f']));
    expect(form(oids.bool, ['2'])).toEqual(new Set(['2']));
  });

  test('blank-padded text without its padding, which only spaces are', () => {
    expect(form(oids.bpchar, ['ab', 'ab  '])).toEqual(new Set(['ab']));
    expect(form(oids.bpchar, [' a b\t'])).toEqual(new Set([' a b\t']));
  });

  test('numerics of any scale', () => {
    expect(form(oids.numeric, ['1.5', '1.50', '1.500'])).toEqual(new Set(['1.5']));
    expect(form(oids.numeric, ['100', '100.00'])).toEqual(new Set(['100']));
    expect(form(oids.numeric, ['-0.10', '-0.1'])).toEqual(new Set(['-0.1']));
    expect(form(oids.numeric, ['0', '0.0', '0.00'])).toEqual(new Set(['0']));
    expect(form(oids.numeric, ['10', '0.10', 'NaN'])).toEqual(new Set(['10', '0.1', 'NaN']));
  });

  test('of any other type a text is its own form', () => {
    expect([oids.int4, oids.text, oids.timestamptz, 99_999].map(canonicalForm)).toEqual(Array(4).fill(undefined));
  });
});

describe('the key of one value', () => {
  test('is a number where the text is what PostgreSQL writes for a natural number of up to nine digits', () => {
    expect(['0', '7', '42', '999999999'].map(keyOf)).toEqual([0, 7, 42, 999_999_999]);
  });

  test('is otherwise the text', () => {
    const others = ['', '007', '00', '-1', '+1', '1.0', '1e3', ' 1', '1 ', '1000000000', '\u0661', 'a1', 'NaN'];
    expect(others.map(keyOf)).toEqual(others);
  });

  test('differs where the texts differ', () => {
    const texts = fc.oneof(fc.string({ maxLength: 4, unit: fc.constantFrom('0', '1', '9', '-', ' ') }), fc.nat().map(String)); // prettier-ignore
    fc.assert(
      fc.property(texts, texts, (one, other) => {
        expect(keyOf(one) === keyOf(other)).toBe(one === other);
      }),
      { numRuns: 2000 },
    );
  });
});

test('a key of several values is the same for the same values, and no other', () => {
  const texts = fc.array(fc.option(fc.string({ maxLength: 3, unit: fc.constantFrom('a', '1', ':', ';', '-') })), { minLength: 2, maxLength: 3 }); // prettier-ignore
  fc.assert(
    fc.property(texts, texts, (one, other) => {
      expect(joinKey(one) === joinKey(other)).toBe(JSON.stringify(one) === JSON.stringify(other));
    }),
    { numRuns: 2000 },
  );
});
