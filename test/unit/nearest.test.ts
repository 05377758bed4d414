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
])('%s is meant to be %s', (given, meant) => {
  expect(nearest(given, known)).toBe(meant);
});

test.each(['existing', 'priority', '', 'x', 'n'])('%j is like none of them', (given) => {
  expect(nearest(given, known)).toBeUndefined();
});
