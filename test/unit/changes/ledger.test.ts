import { describe, expect, test, vi } from 'vitest';
import { Budget, bytesPerHolder } from '../../../src/changes/budget.ts';
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
  test('is undefined before anything was received', () => {
    const { ledger } = ledgerWith();
    expect([ledger.confirmed, ledger.settled]).toEqual([undefined, true]);
  });

  test('is the end of a transaction, not its commit record, after it is committed and handled', () => {
    const { ledger, begin, hold, advance } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.settle(change);
    expect([ledger.confirmed, ledger.settled]).toEqual([undefined, false]);
    ledger.commit(transaction, 108n);
    expect([ledger.confirmed, ledger.settled, advance.mock.calls.length]).toEqual([108n, true, 1]);
  });

  test('includes a transaction without subscriptions at its commit', () => {
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

  test('a change is handled when all its holders are done', () => {
    const { ledger, begin, hold, budget } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.hold(change);
    ledger.commit(transaction, 108n);
    expect(budget.bytes).toBe(10 + bytesPerHolder);
    ledger.settle(change);
    expect([ledger.confirmed, budget.bytes]).toEqual([undefined, 10]);
    ledger.settle(change);
    expect([ledger.confirmed, budget.bytes]).toEqual([108n, 0]);
  });

  test('a keepalive counts when everything before it is handled', () => {
    const { ledger, begin, hold } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.commit(transaction, 108n);
    ledger.idle(150n);
    ledger.idle(140n); // from another connection, which has not come so far
    expect(ledger.confirmed).toBeUndefined();
    ledger.settle(change);
    expect(ledger.confirmed).toBe(150n);
  });

  test('a keepalive does not count while only a part before it is handled', () => {
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

  test('an older keepalive of a new connection does not move the position back', () => {
    const { ledger, begin, hold } = ledgerWith();
    const transaction = begin(100n);
    const change = hold(transaction);
    ledger.commit(transaction, 108n);
    ledger.idle(50n);
    ledger.settle(change);
    expect(ledger.confirmed).toBe(108n);
  });

  test('a keepalive before a transaction does not confirm that transaction', () => {
    const { ledger, begin, hold } = ledgerWith();
    const first = begin(100n);
    const change = hold(first);
    ledger.commit(first, 108n);
    ledger.idle(150n);
    const second = begin(200n);
    ledger.settle(change);
    expect(ledger.confirmed).toBe(150n);
    ledger.commit(second, 208n);
    expect(ledger.confirmed).toBe(208n);
  });

  test('a keepalive before the confirmed position is ignored', () => {
    const { ledger, advance } = ledgerWith();
    for (const lsn of [100n, 90n, 100n]) ledger.idle(lsn);
    expect([ledger.confirmed, advance.mock.calls.length]).toEqual([100n, 1]);
  });
});

test('forgetting the history removes open transactions and frees their memory', () => {
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

test('a transaction has its position and commit time', () => {
  const { ledger } = ledgerWith();
  const transaction = ledger.begin({ finalLsn: 0x16_b374_d848n, xid: 7, committedAt: 1000 });
  expect(transaction).toMatchObject({ commitLsn: '16/B374D848', xid: 7, committedAt: new Date(1000) });
});

test('thousands of transactions after a slow one are confirmed together, even if the queue is never empty', () => {
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

test('transactions that are handled after an open one take no memory, in any order', () => {
  const { ledger, begin, hold } = ledgerWith();
  const slow = [1n, 2n].map((lsn) => {
    const transaction = begin(lsn);
    const change = hold(transaction);
    ledger.commit(transaction, lsn);
    return change;
  });
  for (let round = 0; round < 100; round++) {
    const lsns = Array.from({ length: 10 }, (_, index) => BigInt(100 + round * 10 + index));
    const changes = lsns.map((lsn) => hold(begin(lsn)));
    // Settled before and after their commits, in both orders.
    for (const change of changes.slice(0, 5)) ledger.settle(change);
    for (const change of changes) ledger.commit(change.transaction, change.transaction.finalLsn + 1n);
    ledger.idle(lsns.at(-1)! + 1n);
    for (const change of changes.slice(5).toReversed()) ledger.settle(change);
    expect(ledger.size).toBe(2);
  }
  ledger.settle(slow[1]!);
  expect([ledger.size, ledger.confirmed]).toEqual([1, undefined]);
  ledger.settle(slow[0]!);
  expect([ledger.size, ledger.confirmed, ledger.settled]).toEqual([0, 1100n, true]);
});

test('a reference to a transaction does not keep its neighbours in memory', () => {
  const { ledger, begin } = ledgerWith();
  const all = [1n, 2n, 3n].map(begin);
  for (const one of all) ledger.commit(one, one.finalLsn);
  expect(all.flatMap(({ previous, next }) => [previous, next])).toEqual(Array(6).fill(undefined));
});
