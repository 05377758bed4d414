import { expect, test, vi } from 'vitest';
import { Budget } from '../../../src/changes/budget.ts';
import { Ledger } from '../../../src/changes/ledger.ts';
import type { Snapshot } from '../../../src/stream/visibility.ts';
import { VisibilityGate } from '../../../src/stream/gate.ts';
import { changeOf, transactionAt } from '../../support/sample-changes.ts';
import { planFor, usersTable } from '../../support/sample-tables.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));
const plan = planFor(usersTable(), ['users', 'inserted']);
const change = () => changeOf(plan, 'inserted', {}, { transaction: transactionAt(10n) });
const visible: Snapshot = { xmin: 100, xmax: 100, inProgress: new Set() };
const gated = (pass: () => void) =>
  new VisibilityGate(new Ledger(new Budget(Infinity, vi.fn(), vi.fn()), vi.fn()), pass);

test('an exception after the gate, for example of a type parser, ends the connection and not the process', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  const broken = new Error('the type parser threw');
  const gate = gated(() => {
    throw broken;
  });
  const failed = vi.fn();
  gate.connect(() => Promise.resolve(visible), failed);
  gate.push(change());
  await settle();
  process.off('unhandledRejection', unhandled);
  expect([failed.mock.calls, unhandled.mock.calls.length]).toEqual([[[broken]], 0]);
});

test('a question that fails while the connection lives (pg_cancel_backend) ends the connection, instead of holding everything', async () => {
  const gate = gated(vi.fn());
  const failed = vi.fn();
  const cancelled = new Error('canceling statement due to user request');
  gate.connect(() => Promise.reject(cancelled), failed);
  gate.push(change());
  await settle();
  expect(failed.mock.calls).toEqual([[cancelled]]);
});

test('a question that fails after its connection was lost does not end another one', async () => {
  const gate = gated(vi.fn());
  const [first, second] = [vi.fn(), vi.fn()];
  gate.connect(() => Promise.reject(new Error('lost')), first);
  gate.push(change());
  gate.connect(() => new Promise(() => {}), second);
  await settle();
  expect([first.mock.calls, second.mock.calls]).toEqual([[], []]);
});
