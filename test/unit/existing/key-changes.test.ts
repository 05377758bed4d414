import { expect, test } from 'vitest';
import { KeyChanges } from '../../../src/existing/key-changes.ts';
import { transactionAt } from '../../support/sample-changes.ts';

const transaction = transactionAt(1n);
const change = { transaction, bytes: 1, holders: 0 };
const key = (id: number) => [String(id)];
const unseen = { seen: false, given: false };
const moved = (from: number, to: number) => ({ from: key(from), to: key(to), start: undefined });

function keyChanges(limit?: number) {
  const held = new Set<object>();
  const ledger = { hold: (one: object) => void held.add(one), settle: (one: object) => void held.delete(one) };
  return { changes: new KeyChanges(ledger, [], limit), held };
}

test('of a row that moves twice before it is read, the first key decides whether it was unread', () => {
  const { changes } = keyChanges();
  changes.add(change, moved(50, 5), unseen);
  changes.add(change, moved(5, 3), unseen);
  expect(changes.all).toEqual([moved(50, 5), moved(50, 3)]);
});

test('a row that the chunk has read at its first new key was not unread at the second', () => {
  const { changes } = keyChanges();
  changes.add(change, moved(50, 5), unseen);
  changes.read(1);
  changes.add(change, moved(5, 3), unseen);
  expect(changes.all).toEqual([moved(50, 5), moved(5, 3)]);
  changes.add(change, moved(5, 4), { seen: true, given: false }); // the snapshot sees it: the chunk has not found the row at 5
  expect(changes.all.at(-1)).toEqual(moved(50, 4));
});

test('a row that was given before it moved on stays in the list until it is handled', () => {
  const { changes } = keyChanges();
  changes.add(change, moved(50, 5), unseen);
  changes.read(1);
  changes.add(change, moved(5, 3), { seen: false, given: true }); // the chunk has read it at 5
  changes.add(change, moved(3, 4), unseen);
  changes.add(change, moved(60, 6), unseen);
  const afterACrash = [moved(50, 5), moved(50, 3), moved(50, 4), moved(60, 6)];
  expect(changes.all).toEqual(afterACrash);
  changes.handled();
  expect(changes.all).toEqual([moved(60, 6)]);
  changes.add(change, moved(4, 7), unseen);
  expect(changes.all).toEqual([moved(60, 6), moved(4, 7)]);
});

test('a row that was given before it moved on is read again if the chunk is given up', () => {
  const { changes } = keyChanges();
  changes.add(change, moved(50, 5), { seen: false, given: true });
  changes.giveUp();
  changes.read(1);
  changes.handled();
  changes.add(change, moved(60, 6), unseen);
  changes.handled();
  expect(changes.all).toEqual([moved(60, 6)]);
});

test('so many of the list are read with a chunk that its statement stays short', () => {
  const { changes } = keyChanges();
  for (let id = 0; id < 250; id++) changes.add(change, moved(1000 + id, id), unseen);
  expect(changes.next).toHaveLength(100);
  changes.read(100);
  expect(changes.next[0]).toEqual(moved(1100, 100));
  changes.handled();
  expect(changes.all).toHaveLength(150);
});

test('beyond the limit the table must be read again, and the first change beyond it stays unacknowledged until then', () => {
  const { changes, held } = keyChanges(2);
  for (let id = 0; id < 9; id++) changes.add(change, moved(100 + id, id), unseen);
  expect(changes.tooMany).toBe(true);
  expect(held.size).toBe(3);
  changes.store().stored();
  expect(held.size).toBe(3);
  changes.clear();
  expect(held.size).toBe(0);
});

test('what is noted while the list is being stored waits for the next time', () => {
  const { changes, held } = keyChanges();
  changes.add(change, moved(50, 5), unseen);
  const { stored } = changes.store();
  changes.add(change, moved(51, 6), unseen);
  stored();
  expect(held.size).toBe(1);
});
