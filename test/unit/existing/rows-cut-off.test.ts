/** Rows that were given, and whose handlers are cut off by a crash or outlive their connection. */
import { expect, test } from 'vitest';
import type { KeyChange } from '../../../src/existing/key-changes.ts';
import { readingOf as reading, seenBelow } from '../../support/table-reading.ts';

const moved = (from: number, to: number, start: number): KeyChange => ({
  from: [String(from)],
  to: [String(to)],
  start: [String(start)],
});

test('a change of the key of a row whose handler runs leaves it unread, so that a crash does not lose it', () => {
  const { load, updated, handle, rest, rows, state } = reading({ cursor: ['10'] });
  load([11, 20]);
  updated(5, seenBelow, 20);
  expect(state()).toMatchObject({ cursor: ['10'], ahead: [], reread: [moved(20, 5, 10)] });
  rest();
  handle(11, 20);
  rows.finish();
  expect(state()).toMatchObject({ cursor: ['20'], reread: [] });
});

test('so does one of a row that was read again', () => {
  const { load, updated, handle, rest, rows, state } = reading({ cursor: ['10'], reread: [moved(50, 5, 10)] });
  load([11, 20], [5]);
  updated(3, seenBelow, 5);
  expect(state().reread).toEqual([moved(50, 5, 10), moved(50, 3, 10)]);
  rest();
  handle(5, 11, 20);
  rows.finish();
  expect(state().reread).toEqual([]);
});

test('so does one that comes when the connection is lost', () => {
  const { load, updated, handle, rest, rows, state } = reading({ cursor: ['10'], reread: [moved(50, 5, 10)] });
  load([11], [5]);
  rest();
  rows.discard();
  updated(3, seenBelow, 5);
  expect(state().reread).toEqual([moved(50, 5, 10), moved(50, 3, 10)]);
  handle(5, 11);
  rows.finish();
  expect(state().reread).toEqual([]);
});

test('a moved row that was given when the connection was lost is not read again once it is handled', () => {
  const { load, rest, handle, rows, state } = reading({ cursor: ['10'], reread: [moved(50, 5, 10)] });
  load([11], [5]);
  rest();
  rows.discard();
  expect(state().reread).toHaveLength(1);
  handle(5, 11);
  rows.finish();
  expect(state()).toMatchObject({ cursor: ['11'], ahead: [], reread: [], rows: 2 });
});
