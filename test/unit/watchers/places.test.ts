import { describe, expect, test } from 'vitest';
import { placesOf } from '../../../src/watchers/places.ts';
import { column, oids, relationOf, usersTable } from '../../support/sample-tables.ts';

/** Columns by their numbers. `''`: a column that was dropped since. */
const tableOf = (...names: readonly string[]) =>
  usersTable({
    columns: names.flatMap((name, index) => (name === '' ? [] : [column(name, oids.text, { number: index + 1 })])),
    lastNumber: names.length,
  });
const table = tableOf('id', 'a', 'b', 'c');

/** The places of columns that the relation has under another name, or that are not found. */
function found(now: ReturnType<typeof tableOf>, written: readonly string[], { whole = true, oid = now.oid } = {}) {
  const places = placesOf(relationOf(usersTable({ oid, columns: written.map((name) => column(name)) })), now, whole);
  return Object.fromEntries(
    now.columns.flatMap(({ name }) => (written.includes(name) ? [] : [[name, places.get(name)]])),
  );
}

describe('a column that had another name when the WAL was written is found by its place', () => {
  test.each([
    [['id', 'a', 'old', 'c'], { b: 2 }],
    [['old', 'a', 'b', 'c'], { id: 0 }],
    [['id', 'a', 'b', 'old'], { c: 3 }],
    [['id', 'old', 'older', 'c'], { a: 1, b: 2 }],
    [['one', 'two', 'three', 'four'], { id: 0, a: 1, b: 2, c: 3 }],
  ])('%j', (written, places) => {
    expect(found(table, written)).toEqual(places);
  });

  test('even if columns were added or dropped since, elsewhere', () => {
    expect(found(table, ['id', 'old', 'b'])).toEqual({ a: 1, c: undefined });
    expect(found(tableOf('id', '', 'a', 'b', '', 'c'), ['id', 'gone', 'a', 'old', 'c'])).toEqual({ b: 3 });
  });

  test('even if the column next to it was dropped since, if no other column can have been left out', () => {
    expect(found(tableOf('id', '', 'b'), ['id', 'gone', 'old'])).toEqual({ b: 2 });
  });
});

describe('a column is not found, rather than mistaken for another one,', () => {
  test('if it was added later', () => {
    expect(found(table, ['id', 'a', 'b'])).toEqual({ c: undefined });
    expect(found(table, ['id', 'old'])).toEqual({ a: undefined, b: undefined, c: undefined });
  });

  test('if the column next to it was dropped since: the place may belong to that one', () => {
    expect(found(tableOf('id', '', 'b'), ['id', 'gone'])).toEqual({ b: undefined });
    expect(found(tableOf('id', '', 'b', 'c', 'd'), ['id', 'gone', 'x', 'y'])).toEqual({
      b: undefined,
      c: undefined,
      d: undefined,
    });
  });

  test('if the columns before and after it do not agree', () => {
    expect(found(table, ['id', 'b', 'x', 'c'])).toEqual({ a: undefined });
  });

  test('if the column at that place has another type', () => {
    const written = [column('id'), column('a'), column('old', oids.int4), column('c')];
    expect(placesOf(relationOf(usersTable({ columns: written })), table, true).get('b')).toBeUndefined();
  });

  test('if the column next to it is generated, and so may not have been sent', () => {
    const generated = tableOf('id', 'a', 'b');
    const columns = generated.columns.map((one) => (one.name === 'a' ? { ...one, generated: 'stored' as const } : one));
    expect(found({ ...generated, columns }, ['id', 'old'])).toEqual({ a: undefined, b: undefined });
  });

  test('if it was generated, and so may not have been sent, and the column after it was dropped or renamed since', () => {
    expect(found(tableOf('id', 'g', ''), ['id', 'a'])).toEqual({ g: undefined });
    expect(found(tableOf('id', 'g', 'b'), ['id', 'a'])).toEqual({ g: undefined, b: undefined });
  });

  test('if a column list left it out then, but no longer does', () => {
    expect(found(tableOf('id', 'secret', 'full_name'), ['id', 'name'])).toEqual({
      secret: undefined,
      full_name: undefined,
    });
  });

  test('if a column list leaves out columns, or the table was re-created', () => {
    const written = ['id', 'a', 'old', 'c'];
    expect(found(table, written, { whole: false })).toEqual({ b: undefined });
    expect(found(table, written, { oid: 7 })).toEqual({ b: undefined });
  });
});
