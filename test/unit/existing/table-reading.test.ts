/** Rows of a chunk, and the changes between which they are given. */
import { describe, expect, test } from 'vitest';
import type { KeyChange } from '../../../src/existing/key-changes.ts';
import { readingOf as reading, seenBelow } from '../../support/table-reading.ts';

const keys = (...ids: number[]) => ids.map((id) => [String(id)]);

describe('a row of the chunk', () => {
  test('is given before the first change of its record that the snapshot does not see', () => {
    const { load, updated, given } = reading();
    load([1, 2, 3]);
    updated(2, seenBelow);
    expect(given).toEqual(['2']);
  });

  test('is not given before a change that the snapshot sees: the row has it already', () => {
    const { load, updated, deleted, given } = reading();
    load([1, 2, 3]);
    updated(2, seenBelow - 1);
    deleted(4, seenBelow - 1);
    expect(given).toEqual([]);
  });

  test('is given before a delete, and before a change that moves another row to its key', () => {
    const { load, updated, deleted, given } = reading();
    load([1, 2, 3]);
    deleted(3, seenBelow + 1);
    updated(1, seenBelow + 1, 50);
    expect(given).toEqual(['3', '1']);
  });

  test('is given before a truncate that the snapshot does not see, with all others', () => {
    const { load, truncated, given } = reading();
    load([1, 2, 3]);
    truncated(seenBelow - 1);
    expect(given).toEqual([]);
    truncated(seenBelow);
    expect(given).toEqual(['1', '2', '3']);
  });

  test('is given once', () => {
    const { load, updated, rest, given } = reading();
    load([1, 2]);
    updated(2, seenBelow);
    updated(2, seenBelow);
    rest();
    expect(given).toEqual(['2', '1']);
  });
});

describe('the stored state', () => {
  test('has the handled prefix as its cursor, and the rows handled beyond it by themselves', () => {
    const { load, rest, handle, state } = reading();
    load([1, 2, 3, 4]);
    rest();
    expect(state()).toMatchObject({ cursor: undefined, ahead: [], rows: 0 });
    handle(1, 2, 4);
    expect(state()).toMatchObject({ cursor: ['2'], ahead: keys(4), rows: 3 });
    handle(3);
    expect(state()).toMatchObject({ cursor: ['4'], ahead: [], rows: 4 });
  });

  test('is continued by another process: rows that were handled ahead are not given again', () => {
    const { load, rest, given, rows, handle, state } = reading({ cursor: ['2'], ahead: keys(4), rows: 3 });
    expect(rows.start).toEqual(['2']);
    load([3, 4, 5]);
    rest();
    expect(given).toEqual(['3', '5']);
    handle(3, 5);
    rows.finish();
    expect(state()).toMatchObject({ cursor: ['5'], ahead: [], rows: 5 });
  });

  test('counts a row that no watcher wants as passed, not as handled', () => {
    const { load, rest, rows, state } = reading({}, { watchers: [] });
    load([1, 2]);
    rest();
    expect(rows.chunkDone).toBe(true);
    expect(state()).toMatchObject({ cursor: ['2'], rows: 0 });
  });

  test('is done when the range is read to its end and no row that moved is left', () => {
    const { load, rest, handle, rows, updated } = reading();
    load([1, 2], [], 5);
    updated(1, seenBelow, 60);
    rest();
    handle(1, 2);
    rows.finish();
    expect(rows.done).toBe(false);
    load([], [1], 5);
    rest();
    handle(1);
    rows.finish();
    expect(rows.done).toBe(true);
  });
});

describe('a chunk that is discarded', () => {
  test('is read again from the handled prefix on, but for the rows that were handled ahead', () => {
    const { load, rest, handle, rows, given } = reading();
    load([1, 2, 3, 4, 5]);
    rows.give(rows.next()!);
    rows.give(rows.next()!);
    rows.give(rows.next()!);
    rows.discard();
    handle(1, 3); // they were given: their handlers go on
    expect(rows.chunkDone).toBe(false);
    handle(2);
    expect(rows.chunkDone).toBe(true);
    rows.finish();
    expect(rows.start).toEqual(['3']);
    load([4, 5]);
    rest();
    expect(given).toEqual(['1', '2', '3', '4', '5']);
  });

  test('gives nothing of it before later changes', () => {
    const { load, updated, rows, given } = reading();
    load([1, 2]);
    rows.discard();
    updated(1, seenBelow);
    expect(given).toEqual([]);
  });

  test('keeps the rows that moved for the next chunk', () => {
    const { load, rows, updated } = reading({ cursor: ['10'] });
    load([11]);
    updated(5, seenBelow, 50);
    rows.discard();
    rows.finish();
    expect(rows.keyChanges.all).toMatchObject([{ from: ['50'], to: ['5'] }]);
    load([11], [5]);
    rows.discard();
    rows.finish();
    expect(rows.keyChanges.all).toMatchObject([{ from: ['50'], to: ['5'] }]);
  });
});

describe('while rows of a chunk still come', () => {
  test('others may be given, and the cursor is the last of those that are handled', () => {
    const { begin, add, rest, handle, rows, state } = reading({ cursor: ['0'] });
    begin();
    add([1, 2]);
    rest();
    handle(1, 2);
    expect(rows.chunkDone).toBe(false);
    expect(state()).toMatchObject({ cursor: ['2'], ahead: [] });
    add([3]);
    rest();
    rows.complete({ last: ['5'], exhausted: false });
    expect(state()).toMatchObject({ cursor: ['2'] });
    handle(3);
    expect(rows.chunkDone).toBe(true);
    expect(state()).toMatchObject({ cursor: ['5'] });
  });

  test('a chunk may be discarded: handled rows are not read again, and later rows are left out', () => {
    const { begin, add, load, rest, handle, rows, state, given } = reading({ ahead: keys(3) });
    begin();
    add([1, 2, 3]);
    rest();
    rows.discard();
    add([4]);
    rows.complete({ last: ['4'], exhausted: true });
    rest();
    handle(1, 2);
    rows.finish();
    expect(rows.done).toBe(false);
    expect(state()).toMatchObject({ cursor: ['2'], ahead: keys(3) });
    load([3, 4]);
    rest();
    expect(given).toEqual(['1', '2', '4']);
  });

  test('a stored state from before the chunk has none of them as handled', () => {
    const { begin, add, rest, rows, row } = reading({ cursor: ['0'] });
    begin();
    add([1, 2]);
    rest();
    const isFresh = rows.freshOf({ cursor: ['0'], ahead: [], partly: [] });
    expect([1, 2].map((id) => isFresh(row(id).change, 'users:inserted'))).toEqual([true, true]);
  });
});

describe('a change of a key', () => {
  const moved = (from: number, to: number, start: number | undefined): KeyChange => ({
    from: [String(from)],
    to: [String(to)],
    start: start === undefined ? undefined : [String(start)],
  });

  test('that the snapshot does not see counts from the end of the chunk, for its row at the old key was given', () => {
    const { load, updated, rows } = reading({ cursor: ['10'] });
    load([11, 20]);
    updated(5, seenBelow, 50);
    expect(rows.keyChanges.all).toEqual([moved(50, 5, 20)]);
  });

  test('that the snapshot sees counts from the beginning of the chunk', () => {
    const { load, updated, rows } = reading({ cursor: ['10'] });
    load([11, 20]);
    updated(5, seenBelow - 1, 15);
    expect(rows.keyChanges.all).toEqual([moved(15, 5, 10)]);
  });

  test('that the snapshot sees is not noted if the chunk has the row at its new key', () => {
    const { load, updated, rows } = reading({ cursor: ['10'] });
    load([11, 20]);
    updated(11, seenBelow - 1, 60);
    expect(rows.keyChanges.all).toEqual([]);
  });

  test('to a key that was handled ahead makes it unread: another row is there', () => {
    const { updated, rows, load, rest, given } = reading({ cursor: ['2'], ahead: keys(4) });
    updated(4, seenBelow, 50);
    rows.finish();
    load([3, 4, 5]);
    rest();
    expect(given).toEqual(['3', '4', '5']);
  });

  test('to the key of a row whose handler runs makes it unread as well', () => {
    const { updated, rows, load, rest, handle, given } = reading();
    load([3, 4, 5]);
    updated(4, seenBelow); // given
    updated(4, seenBelow, 50); // after it was deleted
    rows.discard();
    handle(4);
    rows.finish();
    load([3, 4, 5], [4]);
    rest();
    expect(given).toEqual(['4', '3', '4', '5']);
  });

  test('is not acknowledged before the list is stored', () => {
    const { load, updated, rows, ledger } = reading({ cursor: ['10'] });
    load([11]);
    updated(5, seenBelow, 50);
    expect(ledger.settled).toBe(false);
    const { entries, stored } = rows.keyChanges.store();
    expect(entries).toHaveLength(1);
    expect(ledger.settled).toBe(false);
    stored();
    expect(ledger.settled).toBe(true);
  });

  test('at or before the stored position is in the stored list already', () => {
    const { updated, rows } = reading({ cursor: ['10'], moved: [0x100n, 0] });
    updated(5, seenBelow, 50);
    expect(rows.keyChanges.all).toEqual([]);
    updated(6, seenBelow, 51);
    expect(rows.keyChanges.all).toEqual([moved(51, 6, 10)]);
    expect(rows.state(1).moved).toEqual([0x200n, 0]);
  });

  test('before it is asked where reading ends is not noted: the row is read where it is', () => {
    const { updated, rows } = reading({ end: undefined });
    updated(5, seenBelow, 50);
    expect(rows.keyChanges.all).toEqual([]);
    rows.follow();
    updated(5, seenBelow, 50);
    expect(rows.keyChanges.all).toHaveLength(1);
  });
});

describe('with several watchers and a transaction', () => {
  const options = { transaction: true, watchers: ['users:inserted', 'staff'] };

  test('a row counts as handled with the last of them, and until then as handled by the others', () => {
    const { rows, load, rest, row } = reading({}, options);
    load([1, 2]);
    rest();
    const first = { change: row(1).change, watcher: 'users:inserted' };
    const after = rows.stateAfter(1, [first]);
    expect(after).toMatchObject({ cursor: undefined, ahead: [], partly: [{ key: ['1'], by: ['users:inserted'] }] });
    row(1).settled('users:inserted');
    expect(rows.state(1).partly).toEqual([{ key: ['1'], by: ['users:inserted'] }]);
    expect(rows.stateAfter(1, [{ ...first, watcher: 'staff' }])).toMatchObject({ cursor: ['1'], partly: [], rows: 1 });
  });

  test('what a stored state has as handled is not fresh', () => {
    const { rows, load, rest, row } = reading({}, options);
    load([1, 2, 3]);
    rest();
    const isFresh = rows.freshOf({ cursor: ['1'], ahead: keys(3), partly: [{ key: ['2'], by: ['staff'] }] });
    const fresh = (id: number, watcher: string) => isFresh(row(id).change, watcher);
    expect([fresh(1, 'staff'), fresh(3, 'staff'), fresh(2, 'staff'), fresh(2, 'users:inserted')]).toEqual([
      false, false, false, true,
    ]); // prettier-ignore
  });
});
