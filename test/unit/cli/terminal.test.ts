import { expect, test } from 'vitest';
import { canShowUnicode } from '../../../src/cli/terminal.ts';
import { cut, share, widthOf } from '../../../src/cli/width.ts';

test.each([
  ['linux', {}, true],
  ['linux', { LANG: 'en_US.UTF-8' }, true],
  ['linux', { LC_ALL: 'C.utf8' }, true],
  ['linux', { LANG: 'en_US.UTF-8', LC_ALL: 'C' }, false],
  ['linux', { LANG: 'de_DE.ISO-8859-1' }, false],
  ['linux', { TERM: 'linux', LANG: 'en_US.UTF-8' }, false],
  ['win32', {}, false],
  ['win32', { WT_SESSION: 'a' }, true],
  ['win32', { TERM_PROGRAM: 'vscode' }, true],
  ['win32', { TERM: 'xterm-256color' }, true],
] as const)('non-ASCII characters on %s with %j: %s', (platform, environment, shown) => {
  expect(canShowUnicode(environment, platform)).toBe(shown);
});

test('the width of a text is the number of its terminal columns', () => {
  expect([widthOf('abc'), widthOf('é'), widthOf('e\u0301'), widthOf('日本'), widthOf('🔑')]).toEqual([3, 1, 1, 4, 2]);
  expect([cut('abcdef', 6), cut('abcdef', 5), cut('日本語', 5)]).toEqual(['abcdef', 'abcd…', '日本…']);
});

test('space is shared so that short texts stay whole', () => {
  expect(share([2, 3], 10)).toBe(Infinity);
  expect(share([2, 100, 100], 10)).toBe(4);
  expect(share([100], 10)).toBe(10);
});
