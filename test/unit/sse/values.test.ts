import { expect, test } from 'vitest';
import { revive } from '../../../src/client/values.ts';
import { plainRow, toJson } from '../../../src/sse/values.ts';

/** The event as a listener in the browser receives it. */
function sent(row: object) {
  const { values, types } = plainRow(row);
  const message = JSON.parse(JSON.stringify({ values: JSON.parse(toJson(values)), types }));
  return { ...message, revived: revive({ ...message.values }, message.types) };
}

test('dates, bigints, bytes, NaN and infinities arrive with their types', () => {
  const row = {
    at: new Date('2026-02-03T04:05:06.789Z'),
    big: 9007199254740993n,
    bytes: Buffer.from([0, 255, 10]),
    ratio: NaN,
    until: -Infinity,
    days: [new Date(0), null, Infinity],
    matrix: [
      [1n, 2n],
      [3n, null],
    ],
  };
  const { values, types, revived } = sent(row);
  expect(values).toEqual({
    at: '2026-02-03T04:05:06.789Z',
    big: '9007199254740993',
    bytes: 'AP8K',
    ratio: 'NaN',
    until: '-Infinity',
    days: ['1970-01-01T00:00:00.000Z', null, 'Infinity'],
    matrix: [
      ['1', '2'],
      ['3', null],
    ],
  });
  expect(types).toEqual({
    at: 'date', big: 'bigint', bytes: 'bytes', ratio: 'number', until: 'number', days: 'date', matrix: 'bigint',
  }); // prettier-ignore
  expect(revived).toEqual({ ...row, bytes: new Uint8Array(row.bytes) });
});

test('values that JSON can express stay as they are, even text that looks like a date', () => {
  const row = { id: 1, text: '2026-02-03T04:05:06.789Z', none: null, json: { a: [1, 'b'] }, yes: true, list: ['x'] };
  expect(sent(row)).toEqual({ values: row, types: {}, revived: row });
});

test('a bigint inside an object of a user’s parser becomes text', () => {
  expect(toJson(plainRow({ pair: { first: 1n } }).values)).toBe('{"pair":{"first":"1"}}');
});

test('a column called __proto__ is a column like any other', () => {
  const row = JSON.parse('{"__proto__":1}') as object;
  expect(toJson(plainRow(row).values)).toBe('{"__proto__":1}');
});
