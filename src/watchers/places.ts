import type { Relation } from '../postgres/pgoutput/messages.ts';
import type { Column, Table } from '../postgres/tables.ts';

/**
 * Maps the columns of a table, by their names in the database, to their places in the tuples of a relation. A column that was renamed
 * since the WAL was written is found by its place: columns are sent in the order of their numbers, and a rename keeps the number.
 * `whole`: no column list leaves out a column.
 */
export function placesOf(relation: Relation, table: Table, whole: boolean): ReadonlyMap<string, number> {
  const places = new Map(relation.columns.map(({ name }, index) => [name, index]));
  if (!whole || table.oid !== relation.oid) return places; // a re-created table has other numbers
  const known = new Set(table.columns.map(({ name }) => name));
  const renamed: [string, number][] = [];
  let run: Column[] = [];
  let before: Mark = { number: 0, place: -1 };
  for (const column of table.columns) {
    const place = places.get(column.name);
    if (place === undefined) {
      run.push(column);
      continue;
    }
    const behind = { number: column.number, place };
    find(placesBetween(before, behind, run) ?? placesOfLiving(before, behind, run));
    [before, run] = [behind, []];
  }
  find(placesBetween(before, { number: table.lastNumber + 1, place: relation.columns.length }, run));
  return new Map([...places, ...renamed]);

  function find(found: readonly number[] | undefined): void {
    for (const [index, place] of found?.entries() ?? []) {
      const sent = relation.columns[place]!;
      if (!known.has(sent.name) && sent.typeOid === run[index]!.typeOid) renamed.push([run[index]!.name, place]);
    }
  }
}

/** A column that still has its name, or the position before the first or after the last column. */
interface Mark {
  readonly number: number;
  readonly place: number;
}

/**
 * The places of the columns between two marks, if there are as many places as numbers. With fewer places it is unknown which column
 * was not sent, because it was added later, was generated then, or was in no column list. A wrong value would be worse than none.
 */
function placesBetween(before: Mark, behind: Mark, run: readonly Column[]): readonly number[] | undefined {
  if (behind.number - before.number !== behind.place - before.place) return undefined;
  return run.map(({ number }) => before.place + number - before.number);
}

/** The same without the numbers of dropped columns. The remaining columns existed already, because the column after them did. */
function placesOfLiving(before: Mark, behind: Mark, run: readonly Column[]): readonly number[] | undefined {
  const isSure = behind.place - before.place - 1 === run.length && run.every(({ generated }) => !generated);
  return isSure ? run.map((_, index) => before.place + 1 + index) : undefined;
}
