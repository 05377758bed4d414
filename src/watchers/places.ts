import type { Relation } from '../postgres/pgoutput/messages.ts';
import type { Table } from '../postgres/tables.ts';

/**
 * Where the columns of a table stand in the tuples of a relation, by their names in the database. A column that had another name
 * when the WAL was written is found by its place: columns are sent in the order of their numbers, which a name does not change.
 * `whole`: no column list leaves any of them out.
 */
export function placesOf(relation: Relation, table: Table, whole: boolean): ReadonlyMap<string, number> {
  const places = new Map(relation.columns.map(({ name }, index) => [name, index]));
  if (!whole || table.oid !== relation.oid) return places; // one that was made anew has other numbers
  const byNumber = new Map(table.columns.map((column) => [column.number, column]));
  const known = new Set(table.columns.map(({ name }) => name));
  const renamed = table.columns.flatMap(({ name, number, typeOid, generated }): [string, number][] => {
    if (places.has(name) || generated !== undefined) return [];
    const index = agreed([counted(number, -1), counted(number, 1)]);
    const column = index === undefined ? undefined : relation.columns[index];
    return column && !known.has(column.name) && column.typeOid === typeOid ? [[name, index!]] : [];
  });
  return new Map([...places, ...renamed]);

  /**
   * Counts from the next column in this direction that still has its name; before the first column that is the beginning. Undefined:
   * there is none, or a column in between was dropped since or may not be sent, so that nobody knows whether to count it.
   */
  function counted(number: number, step: 1 | -1): number | undefined {
    for (let next = number + step; next > 0; next += step) {
      const column = byNumber.get(next);
      if (!column || column.generated !== undefined) return undefined;
      const place = places.get(column.name);
      if (place !== undefined) return place + (number - next);
    }
    return number - 1;
  }
}

/** What all who know something say. */
function agreed(indexes: readonly (number | undefined)[]): number | undefined {
  const [first, ...others] = indexes.filter((index) => index !== undefined);
  return others.every((index) => index === first) ? first : undefined;
}
