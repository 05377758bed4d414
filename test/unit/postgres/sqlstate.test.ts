import { expect, test } from 'vitest';
import { sqlStateOf } from '../../../src/postgres/sqlstate.ts';

test('an error of PostgreSQL has a SQLSTATE, and similar codes of Node are not mistaken for one', () => {
  for (const code of ['42P01', 'XX000', 'P0001', 'HV000', 'F0000']) expect(sqlStateOf({ code })).toBe(code);
  for (const code of ['EPIPE', 'EPERM', 'EBUSY', 'E2BIG', 'ECONNRESET', 42_704, undefined])
    expect(sqlStateOf({ code })).toBeUndefined();
  for (const thrown of [undefined, null, 'x']) expect(sqlStateOf(thrown)).toBeUndefined();
});
