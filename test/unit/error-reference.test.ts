/** Every error links to its entry in docs/reference/errors.md, and the entry says what to do. */
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ConfigurationError, documentation, errorCodes, helpFor, ProtocolError, WatchError } from '../../src/errors.ts';

const path = 'docs/reference/errors.md';
const page = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const entries = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((entry) => [entry.slice(0, entry.indexOf('\n')), entry]),
);
const codes = [...errorCodes, 'GAP'] as const;

test('the error reference has one entry for each code, in the order of the codes', () => {
  expect([...entries.keys()]).toEqual(codes);
});

describe.each(codes)('%s', (code) => {
  test('has an entry that says what to do', () => {
    expect(entries.get(code)).toMatch(/\*\*Do:\*\* \S/);
  });

  test('links to the heading of its entry', () => {
    const [file, anchor] = helpFor(code).split('#');
    expect(file).toBe(`${documentation}/${path.replace('docs/', '')}`);
    // GitHub's anchor of a heading of letters and underscores.
    expect([...entries.keys()].map((heading) => heading.toLowerCase())).toContain(anchor);
  });
});

test.each([
  new WatchError('SLOT_LOST', 'the slot was dropped'),
  new ConfigurationError([{ message: 'slot is missing', solution: undefined }]),
  new ProtocolError('I', 1, 'unknown'),
])('Node prints the link of an uncaught $name', (error) => {
  expect(inspect(error)).toContain(`help: '${helpFor(error.code)}'`);
});
