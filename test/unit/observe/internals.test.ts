/** One process may have several copies of the package: a watch of one is used with the entry points of another. */
import { expect, test, vi } from 'vitest';
import { internals, internalsOf, internalsVersion } from '../../../src/observe/internals.ts';

test('internals are found by every copy of the package', async () => {
  vi.resetModules();
  const other = await import('../../../src/observe/internals.ts');
  expect(other.internalsOf).not.toBe(internalsOf);
  const shown = { version: internalsVersion };
  expect(other.internalsOf({ [internals]: shown })).toBe(shown);
});

test('internals of another version are refused, with both versions', () => {
  expect(() => internalsOf({ [internals]: { version: 7 } })).toThrow(/internals version 7, expected 1/);
  expect(() => internalsOf({ [internals]: { slot: 'accounts' } })).toThrow(/version undefined/);
  expect(() => internalsOf({})).toThrow(/not a watch that owns a slot/);
});
