import { expect, test } from 'vitest';
import { Budget } from '../../../src/changes/budget.ts';

function budgetOf(highWaterMark: number) {
  const told: string[] = [];
  const budget = new Budget(highWaterMark, () => told.push('full'), () => told.push('free')); // prettier-ignore
  return { budget, told };
}

test('reading pauses once above the mark, not at it, and it is said once', () => {
  const { budget, told } = budgetOf(100);
  budget.add(100);
  expect([budget.full, told]).toEqual([false, []]);
  budget.add(1);
  budget.add(50);
  expect([budget.full, budget.bytes, told]).toEqual([true, 151, ['full']]);
});

test('it goes on once half is free, not before, and it is said once', () => {
  const { budget, told } = budgetOf(100);
  budget.add(120);
  budget.release(69);
  expect([budget.full, told]).toEqual([true, ['full']]);
  budget.release(1);
  expect(told).toEqual(['full', 'free']);
  budget.release(50);
  expect([budget.full, budget.bytes, told]).toEqual([false, 0, ['full', 'free']]);
  budget.add(101);
  expect(told).toEqual(['full', 'free', 'full']);
});

test('a change larger than the budget is admitted when nothing else waits', () => {
  const { budget, told } = budgetOf(0);
  budget.add(1_000_000);
  budget.release(1_000_000);
  expect(told).toEqual(['full', 'free']);
});
