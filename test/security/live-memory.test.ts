/** How much memory browsers can use on the server (`npm run compile`). */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

async function grown(...args: readonly string[]): Promise<number> {
  const program = ['.build/test/programs/live-memory.js', ...args];
  const { stdout } = await promisify(execFile)(process.execPath, program);
  return (JSON.parse(stdout) as { megabytes: number }).megabytes;
}

test.each([
  ['large rows of Latin text', 'x', '40000'],
  ['large rows of Cyrillic text, which take twice as much in JavaScript', 'ж', '40000'],
  ['small rows', 'x', '100'],
])('the history needs at most the documented 64 MB, with %s', { timeout: 90_000 }, async (_, text, size) => {
  expect(await grown('history', text, size)).toBeLessThan(64 * 1.25);
});

test.each([
  ['large rows', '100000'],
  ['small rows', '50'],
])('32 clients that do not read need at most 1 MB each, with %s', { timeout: 90_000 }, async (_, size) => {
  expect(await grown('readers', 'x', size)).toBeLessThan(32 * 1.25);
});
