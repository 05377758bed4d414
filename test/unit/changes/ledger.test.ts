import { describe, expect, test, vi } from 'vitest';
import { Budget } from '../../../src/changes/budget.ts';
import { type Held, Ledger, type LedgerTransaction } from '../../../src/changes/ledger.ts';

function ledgerWith() {
  const advance = vi.fn<() => void>();
  const budget = new Budget(Infinity, vi.fn(), vi.fn());
  const ledger = new Ledger(budget, advance);
  const begin = (finalLsn: bigint) => ledger.begin({ finalLsn, xid: Number(finalLsn), committedAt: 0 });
  const hold = (transaction: LedgerTransaction): Held => {
    const change = { transaction, bytes: 10, holders: 0 };
    ledger.hold(change);
    return change;
  };
  return { ledger, advance, budget, begin, hold };
}

describe('confirmed', () => {
  test('nothing is confirmed before anything was received', () => {
    const { ledger } = ledgerWith();
    expect([ledger.confirmed, ledger.settled]).toEqual([undefined, true]);
  });

  test('is the end of a transaction, not its commit record, and only once it is committed and handled', () => {
    const { ledger, begin, hold, advance } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.settle(change);
    expect([ledger.confirmed, ledger.settled]).toEqual([undefined, false]);
    ledger.commit(transaction, 108n);
    expect([ledger.confirmed, ledger.settled, advance.mock.calls.length]).toEqual([108n, true, 1]);
  });

  test('a transaction that nobody is concerned with is handled at its commit', () => {
    const { ledger, begin } = ledgerWith();
    ledger.commit(begin(100n), 108n);
    expect(ledger.confirmed).toBe(108n);
  });

  test('a later transaction waits for every earlier one', () => {
    const { ledger, begin, hold } = ledgerWith();
    const changes = [100n, 200n, 300n].map((lsn) => {
      const transaction = begin(lsn);
      const change = hold(transaction);
      ledger.commit(transaction, lsn + 8n);
      return change;
    });
    ledger.settle(changes[1]!);
    expect(ledger.confirmed).toBeUndefined();
    ledger.settle(changes[0]!);
    expect(ledger.confirmed).toBe(208n);
    ledger.settle(changes[2]!);
    expect(ledger.confirmed).toBe(308n);
  });

  test('a change is handled once all who hold it are done', () => {
    const { ledger, begin, hold, budget } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.hold(change);
    ledger.commit(transaction, 108n);
    ledger.settle(change);
    expect([ledger.confirmed, budget.bytes]).toEqual([undefined, 10]);
    ledger.settle(change);
    expect([ledger.confirmed, budget.bytes]).toEqual([108n, 0]);
  });

  test('a keepalive counts once all before it is handled', () => {
    const { ledger, begin, hold } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.commit(transaction, 108n);
    ledger.idle(150n);
    ledger.idle(140n); // of another connection, which is not as far yet
    expect(ledger.confirmed).toBeUndefined();
    ledger.settle(change);
    expect(ledger.confirmed).toBe(150n);
  });

  test('a keepalive counts only once all before it is handled, not when a part of it is', () => {
    const { ledger, begin, hold } = ledgerWith();
    const changes = [100n, 200n].map((lsn) => {
      const transaction = begin(lsn);
      const change = hold(transaction);
      ledger.commit(transaction, lsn + 8n);
      return change;
    });
    ledger.idle(300n);
    ledger.settle(changes[0]!);
    expect(ledger.confirmed).toBe(108n);
    ledger.settle(changes[1]!);
    expect(ledger.confirmed).toBe(300n);
  });

  test('a keepalive behind what is open, of a connection that begins anew, takes nothing back', () => {
    const { ledger, begin, hold } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.commit(transaction, 108n);
    ledger.idle(50n);
    ledger.settle(change);
    expect(ledger.confirmed).toBe(108n);
  });

  test('a keepalive from before a transaction says nothing about it', () => {
    const { ledger, begin, hold } = ledgerWith();
    const first = begin(100n);
    const change = hold(first);
    ledger.commit(first, 108n);
    ledger.idle(150n);
    const second = begin(200n);
    ledger.settle(change);
    expect([108n, 150n]).toContain(ledger.confirmed);
    ledger.commit(second, 208n);
    expect(ledger.confirmed).toBe(208n);
  });

  test('a keepalive behind what was confirmed moves nothing, and is not told', () => {
    const { ledger, advance } = ledgerWith();
    for (const lsn of [100n, 90n, 100n]) ledger.idle(lsn);
    expect([ledger.confirmed, advance.mock.calls.length]).toEqual([100n, 1]);
  });
});

test('another history begins with nothing, and what was open has no part in it, but frees its memory', () => {
  const { ledger, begin, hold, budget } = ledgerWith();
  ledger.idle(400n);
  const handled = begin(490n);
  const transaction = begin(500n);
  const change = hold(transaction);
  for (const one of [handled, transaction]) ledger.commit(one, one.finalLsn + 8n);
  ledger.forget();
  expect([ledger.confirmed, ledger.settled]).toEqual([undefined, true]);
  ledger.commit(begin(100n), 108n);
  ledger.settle(change);
  expect([ledger.confirmed, budget.bytes]).toEqual([108n, 0]);
});

test('a transaction tells where and when it was committed', () => {
  const { ledger } = ledgerWith();
  const transaction = ledger.begin({ finalLsn: 0x16_b374_d848n, xid: 7, committedAt: 1000 });
  expect(transaction).toMatchObject({ commitLsn: '16/B374D848', xid: 7, committedAt: new Date(1000) });
});

test('thousands of transactions behind a slow one are confirmed together, and a queue that never runs empty stays right', () => {
  const { ledger, begin, hold } = ledgerWith();
  const slow = begin(1n);
  const change = hold(slow);
  ledger.commit(slow, 2n);
  for (let lsn = 10n; lsn < 30_000n; lsn += 10n) ledger.commit(begin(lsn), lsn + 1n);
  const next = begin(30_000n);
  ledger.settle(change);
  expect([ledger.confirmed, ledger.settled]).toEqual([29_991n, false]);
  ledger.commit(next, 30_001n);
  expect([ledger.confirmed, ledger.settled]).toEqual([30_001n, true]);
});
