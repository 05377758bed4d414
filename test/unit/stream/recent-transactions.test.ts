import { expect, test } from 'vitest';
import type { Begin } from '../../../src/postgres/pgoutput/messages.ts';
import { RecentTransactions } from '../../../src/stream/recent-transactions.ts';

const at = (n: number, xid = n): Begin => ({ tag: 'begin', finalLsn: BigInt(n) * 100n, xid, committedAt: n });

function received(count: number): RecentTransactions {
  const recent = new RecentTransactions();
  for (let n = 1; n <= count; n++) recent.add(at(n));
  return recent;
}

test('a transaction that is repeated unchanged agrees', () => {
  const recent = received(10);
  for (let n = 1; n <= 10; n++) expect(recent.agrees(at(n))).toBe(true);
});

test('another xid, another time, or a position between two received ones reveal a restored server', () => {
  const recent = received(10);
  expect(recent.agrees(at(5, 6))).toBe(false);
  expect(recent.agrees({ ...at(5), committedAt: 6 })).toBe(false);
  expect(recent.agrees({ ...at(5), finalLsn: 550n })).toBe(false);
});

test('the last 1,024 transactions are remembered; older ones count as the same', () => {
  const recent = received(3000);
  const oldest = 3000 - 1023;
  expect(recent.agrees(at(oldest, 1))).toBe(false);
  expect(recent.agrees(at(3000, 1))).toBe(false);
  for (let n = oldest; n <= 3000; n++) expect(recent.agrees(at(n))).toBe(true);
  expect(recent.agrees(at(oldest - 1, 1))).toBe(true);
});

test('after clear() none is remembered, not even those that the ring still holds', () => {
  const recent = received(3000);
  recent.clear();
  expect(recent.agrees(at(2500, 1))).toBe(true);
  recent.add(at(1));
  expect(recent.agrees(at(1))).toBe(true);
  expect(recent.agrees(at(2500))).toBe(false);
});
