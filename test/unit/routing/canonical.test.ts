import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { caseInsensitive } from '../../../src/postgres/types.ts';
import { canonicalForm } from '../../../src/routing/canonical.ts';
import { oids } from '../../support/sample-tables.ts';

describe('values that PostgreSQL considers equal have one form:', () => {
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

  test('blank-padded text without its padding, which is spaces only', () => {
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

  test('a text of any other type is its own form', () => {
    expect([oids.int4, oids.text, 99_999].map(canonicalForm)).toEqual(Array(3).fill(undefined));
  });

  test('numerics with an exponent, as JavaScript writes them', () => {
    expect(form(oids.numeric, ['0.0000001', '1e-7', '0.00000010', '1E-07', '.0000001'])).toEqual(
      new Set(['0.0000001']),
    );
    expect(form(oids.numeric, ['1000000000000000000000', '1e+21', '1e21', '0010e20', '1e21.'])).toContain('1000000000000000000000'); // prettier-ignore
    expect(form(oids.numeric, ['1e+21', '1000000000000000000000.000'])).toEqual(new Set(['1000000000000000000000']));
    expect(form(oids.numeric, ['-12.5e1', '-125', '-1250e-1'])).toEqual(new Set(['-125']));
    expect(form(oids.numeric, ['-0', '0', '-0.00', '0e5'])).toEqual(new Set(['0']));
    const others = ['', '-', '.', 'e5', '1e', '1e1000000', '1e999999', '0x10', ' 1', '1,5', 'Infinity'];
    expect([...form(oids.numeric, others)]).toEqual(others);
  });

  test('floats as PostgreSQL and JavaScript write them', () => {
    for (const number of [1e15, 1e-5, 1e-7, 1e21, 5e-324, 0.1 + 0.2, -1.5, 0, Infinity, -Infinity])
      expect(form(701, [String(number), number.toExponential()]).size, String(number)).toBe(1);
    expect(form(701, ['1e+15', '1000000000000000', '1e15'])).toEqual(new Set(['1000000000000000']));
    expect(form(701, ['-0', '0'])).toEqual(new Set(['0']));
    expect(form(700, ['0.1', '0.10000000149011612', String(Math.fround(0.1))]).size).toBe(1);
    expect(form(700, ['3.4028235e+38', String(Math.fround(3.4028235e38))]).size).toBe(1);
    const others = ['', ' ', 'x', 'NaN', 'inf'];
    for (const oid of [700, 701]) expect([...form(oid, others)]).toEqual(others);
  });

  test('timestamps, as PostgreSQL and JavaScript write them', () => {
    const moment = new Date('2026-02-28T12:30:00.120Z');
    expect(
      form(oids.timestamptz, ['2026-02-28 12:30:00.12+00', moment.toISOString(), '2026-02-28T18:00:00.120+05:30']),
    ).toEqual(new Set(['2026-02-28 12:30:00.12+00']));
    expect(form(oids.timestamptz, ['2026-03-01 00:30:00.000001+02', '2026-02-28 22:30:00.000001+00']).size).toBe(1);
    expect(form(1114, ['2026-02-28 12:00:00', '2026-02-28T12:00', '2026-02-28 12:00:00.000']).size).toBe(1);
    expect(form(1082, ['2026-02-28'])).toEqual(new Set(['2026-02-28']));
    expect(form(1082, ['Infinity', 'infinity'])).toEqual(new Set(['infinity']));
    const others = ['infinity', '-infinity', '0044-03-15 12:00:00+00 BC', '294276-12-31 23:59:59.999999+00', 'now', ''];
    expect([...form(oids.timestamptz, others)]).toEqual(others);
  });

  test('scalars in JSON, compared as an event shows them', () => {
    expect(form(3802, ['"abc"', 'abc'])).toEqual(new Set(['abc']));
    expect(form(3802, ['1', '1.0', '1e0'])).toEqual(new Set(['1']));
    expect(form(3802, ['true', 't'])).toEqual(new Set(['t']));
    expect(form(3802, ['null'])).toEqual(new Set([null]));
    expect(form(114, ['{"a": 1}', '[1]'])).toEqual(new Set(['{"a": 1}', '[1]']));
    for (const text of ['"', '"a', 'x', '', '"\\"1\\""', '{"a":'])
      for (const oid of [114, 3802]) expect(canonicalForm(oid)!(JSON.stringify(text))).toBe(canonicalForm(oid)!(text));
  });

  test('texts of citext in any case', () => {
    expect(form(caseInsensitive, ['MiXed', 'mixed', 'MIXED'])).toEqual(new Set(['mixed']));
  });

  test('a long text takes time in proportion to its length, not to its square', () => {
    const zeros = '0'.repeat(150_000);
    expect(form(oids.numeric, [`1${zeros}1.1${zeros}1${zeros}`]).size).toBe(1);
    expect(form(oids.bpchar, [`a${' '.repeat(1_000_000)}b`]).size).toBe(1);
    expect(form(oids.numeric, ['1'.repeat(1_000_000) + 'x']).size).toBe(1);
  });
});

test('a type has one form function, so binding again does not hash again', () => {
  for (const oid of [16, 114, 700, 701, 1042, 1082, 1184, 1700, 2950, caseInsensitive])
    expect(canonicalForm(oid)).toBe(canonicalForm(oid));
});

test('a form is its own form', () => {
  const texts = fc.oneof(
    fc.string({ maxLength: 6, unit: fc.constantFrom('0', '1', '5', '.', '-', 'e', '"', ' ', 'T') }),
    fc.double().map(String),
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    fc.json(),
  );
  for (const oid of [16, 114, 700, 701, 1042, 1082, 1114, 1184, 1700, 2950])
    fc.assert(
      fc.property(texts, (text) => {
        const once = canonicalForm(oid)!(text);
        if (once !== null) expect(canonicalForm(oid)!(once)).toBe(once);
      }),
    );
});
