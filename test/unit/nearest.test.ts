import { expect, test } from 'vitest';
import { nearest } from '../../src/nearest.ts';

const known = ['name', 'signal', 'onError', 'timeout', 'transaction', 'concurrency', 'batch', 'label', 'extraColumns'];

test.each([
  ['concurency', 'concurrency'],
  ['timeOut', 'timeout'],
  ['on_error', 'onError'],
  ['lable', 'label'], // two exchanged
  ['extraColumn', 'extraColumns'],
  ['singal', 'signal'],
])('%s is recognized as %s', (given, meant) => {
  expect(nearest(given, known)).toBe(meant);
});

test.each(['existing', 'priority', '', 'x', 'n'])('%j is recognized as none of them', (given) => {
  expect(nearest(given, known)).toBeUndefined();
});

test('a command is recognized with wrong, swapped or missing letters, and in upper case', () => {
  const commands = ['doctor', 'setup', 'teardown', 'status', 'tail', 'dead-letters'];
  expect(['docter', 'stauts', 'Setup', 'deadletters', 'tial'].map((name) => nearest(name, commands))).toEqual([
    'doctor', 'status', 'setup', 'dead-letters', 'tail',
  ]); // prettier-ignore
  expect(nearest('diagnose', commands)).toBeUndefined();
});
