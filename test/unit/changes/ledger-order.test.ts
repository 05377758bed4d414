import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { Budget, bytesPerHolder } from '../../../src/changes/budget.ts';
import { type Held, Ledger, type LedgerTransaction } from '../../../src/changes/ledger.ts';

test('in any order, confirmed is the end of the longest settled prefix, and never moves back', () => {
  const step = fc.record({
    kind: fc.constantFrom('begin', 'hold', 'hold again', 'settle', 'settle', 'commit', 'commit', 'idle'),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const advance = vi.fn<() => void>();
      const budget = new Budget(Infinity, vi.fn(), vi.fn());
      const ledger = new Ledger(budget, advance);
      /** In the order of the WAL: transactions, and keepalives, which are always settled. */
      const entries: { lsn: bigint; transaction?: LedgerTransaction }[] = [];
      const held: Held[] = [];
      let open: LedgerTransaction | undefined;
      let position = 0n;
      for (const { kind, pick } of steps) {
        const before = ledger.confirmed;
        const told = advance.mock.calls.length;
        if (kind === 'begin' && !open)
          entries.push({
            lsn: (position += 10n),
            transaction: (open = ledger.begin({ finalLsn: position, xid: 1, committedAt: 0 })),
          });
        if (kind === 'hold' && open) {
          held.push({ transaction: open, bytes: 10, holders: 0 });
          ledger.hold(held.at(-1)!);
        }
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
        expect(ledger.confirmed).toBe(last);
        expect(ledger.confirmed ?? -1n).toBeGreaterThanOrEqual(before ?? -1n);
        expect(ledger.size).toBe(entries.filter((entry) => !settled(entry)).length);
        expect(advance.mock.calls.length - told).toBe(ledger.confirmed === before ? 0 : 1);
        expect(ledger.settled).toBe(unsettled === -1);
        const changes = new Set(held).size;
        expect(budget.bytes).toBe(changes * 10 + (held.length - changes) * bytesPerHolder);
      }
    }),
    { numRuns: 500 },
  );
});
