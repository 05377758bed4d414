import { expect, test } from 'vitest';
import { formatBytes, formatSeconds, toJson, withoutSecrets } from '../../../src/cli/output.ts';

test('values that JSON cannot express are written as PostgreSQL writes them', () => {
  const values = {
    bytes: Buffer.from([0, 255]),
    big: 9_007_199_254_740_993n,
    not: Number.NaN,
    at: new Date(0),
    none: null,
  };
  expect(toJson(values)).toBe(
    String.raw`{"bytes":"\\x00ff","big":"9007199254740993","not":"NaN","at":"1970-01-01T00:00:00.000Z","none":null}`,
  );
});

test('passwords in URLs are not repeated', () => {
  expect(withoutSecrets('cannot reach postgres://worker:a%40b:c/d@host/db, or amqp://x:y@z')).toBe(
    'cannot reach postgres://worker:***@host/db, or amqp://x:***@z',
  );
  expect(withoutSecrets('postgres://worker@host/db')).toBe('postgres://worker@host/db');
});

test.each([
  [0, '0 bytes'], [1023, '1023 bytes'], [1536, '1.5 kB'], [16 * 2 ** 20, '16 MB'], [50 * 2 ** 30, '50 GB'], [2 ** 60, '1048576 TB'],
])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text)); // prettier-ignore

test.each([
  [0.04, '0 s'], [3.21, '3.2 s'], [59.6, '60 s'], [61, '1 min'], [4000, '1 h 6 min'], [200_000, '2 days'],
])('%d seconds are %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text)); // prettier-ignore
