/** docs/operations.md has an entry for every error code. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorCodes } from '../../src/errors.ts';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
const runbook = page.slice(page.indexOf('\n## Runbook\n'));
const entries = new Map(
  runbook
    .split(/^### /m)
    .slice(1)
    .map((entry) => [entry.slice(0, entry.indexOf('\n')), entry]),
);

test('the runbook has an entry for each error code, in the same order, and for nothing else', () => {
  expect([...entries.keys()]).toEqual([...errorCodes]);
});

test.each([...errorCodes])('%s: the entry has instructions', (code) => {
  expect(entries.get(code)).toMatch(/\*\*Do:\*\* \S/);
});
