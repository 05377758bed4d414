import { expect, test } from 'vitest';
import { Budget, bytesPerHolder, type Counted } from '../../../src/changes/budget.ts';

function budgetOf(highWaterMark: number) {
  const told: string[] = [];
  const budget = new Budget(highWaterMark, () => told.push('full'), () => told.push('free')); // prettier-ignore
  const hold = (bytes: number): Counted => {
    const counted = { bytes, holders: 0 };
    budget.hold(counted);
    return counted;
  };
  return { budget, told, hold };
}

test('reading pauses when the memory is above the mark, not at it, and only once', () => {
  const { budget, told, hold } = budgetOf(100);
  hold(100);
  expect([budget.full, told]).toEqual([false, []]);
  hold(1);
  hold(50);
  expect([budget.full, budget.bytes, told]).toEqual([true, 151, ['full']]);
});

test('reading resumes when half of the memory is free, not earlier, and only once', () => {
  const { budget, told, hold } = budgetOf(100);
  const [some, one, rest] = [hold(69), hold(1), hold(50)];
  budget.settle(some);
  expect([budget.full, told]).toEqual([true, ['full']]);
  budget.settle(one);
  expect(told).toEqual(['full', 'free']);
  budget.settle(rest);
  expect([budget.full, budget.bytes, told]).toEqual([false, 0, ['full', 'free']]);
  hold(101);
  expect(told).toEqual(['full', 'free', 'full']);
});

test('a change larger than the budget is accepted if nothing else is held', () => {
  const { budget, told, hold } = budgetOf(0);
  budget.settle(hold(1_000_000));
  expect(told).toEqual(['full', 'free']);
});

test('each further holder of a change counts, too, so that many slow subscriptions fill the budget', () => {
  const { budget, hold } = budgetOf(1_000_000);
  const change = hold(500);
  expect([budget.hold(change), budget.hold(change)]).toEqual([false, false]);
  expect(budget.bytes).toBe(500 + 2 * bytesPerHolder);
  expect([budget.settle(change), budget.settle(change)]).toEqual([false, false]);
  expect(budget.bytes).toBe(500);
  expect([budget.settle(change), budget.bytes]).toEqual([true, 0]);
  expect([budget.hold(change), budget.bytes]).toEqual([true, 500]);
});
