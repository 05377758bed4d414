import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { Budget } from '../../../src/delivery/budget.ts';
import { type Held, Ledger, type LedgerTransaction } from '../../../src/delivery/ledger.ts';

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
  const transaction = begin(500n);
  const change = hold(transaction);
  ledger.commit(transaction, 508n);
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

test('whatever the order, confirmed is the end of the longest settled prefix, and never moves back', () => {
  const step = fc.record({
    kind: fc.constantFrom('begin', 'hold', 'hold again', 'settle', 'settle', 'settle', 'commit', 'idle'),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { ledger, budget, begin, hold, advance } = ledgerWith();
      /** In order of the WAL: transactions, and keepalives, which are settled by themselves. */
      const entries: { lsn: bigint; transaction?: LedgerTransaction }[] = [];
      const held: Held[] = [];
      let open: LedgerTransaction | undefined;
      let position = 0n;
      for (const { kind, pick } of steps) {
        const before = ledger.confirmed;
        const told = advance.mock.calls.length;
        if (kind === 'begin' && !open) entries.push({ lsn: (position += 10n), transaction: (open = begin(position)) });
        if (kind === 'hold' && open) held.push(hold(open));
        if (kind === 'hold again' && held.length > 0) {
          const change = held[pick % held.length]!;
          ledger.hold(change);
          held.push(change);
        }
        if (kind === 'settle' && held.length > 0) ledger.settle(held.splice(pick % held.length, 1)[0]!);
        if (kind === 'commit' && open) {
          ledger.commit(open, (entries.at(-1)!.lsn = position += 8n));
          open = undefined;
        }
        if (kind === 'idle' && !open) {
          entries.push({ lsn: (position += BigInt(pick % 5)) });
          ledger.idle(position);
        }
        const settled = ({ transaction }: (typeof entries)[number]) =>
          !transaction || (transaction !== open && !held.some((change) => change.transaction === transaction));
        const unsettled = entries.findIndex((entry) => !settled(entry));
        const prefix = unsettled === -1 ? entries : entries.slice(0, unsettled);
        const last = prefix.at(-1)?.lsn;
        const lastTransaction = prefix.findLast(({ transaction }) => transaction)?.lsn;
        const confirmed = ledger.confirmed ?? -1n;
        // A keepalive between two transactions may be left to the second.
        expect(confirmed).toBeGreaterThanOrEqual((unsettled === -1 ? last : lastTransaction) ?? -1n);
        expect(confirmed).toBeLessThanOrEqual(last ?? -1n);
        expect(confirmed).toBeGreaterThanOrEqual(before ?? -1n);
        expect(advance.mock.calls.length - told).toBe(ledger.confirmed === before ? 0 : 1);
        expect(ledger.settled).toBe(unsettled === -1);
        expect(budget.bytes).toBe(new Set(held).size * 10);
      }
    }),
    { numRuns: 500 },
  );
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
