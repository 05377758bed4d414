import type { Projection, Relation } from './messages.ts';

/** What stands before a row: 'K', an old row of which only key columns are sent; 'O', an old row; 'N', a new row. */
export const keyOnly = 0x4b;
export const wholeRow = 0x4f;
export const newRow = 0x4e;

const nothing: readonly number[] = Object.freeze([]);

/** A relation that was described, and what is wanted of its changes. */
export class KnownRelation {
  readonly relation: Relation;
  #projected = false;
  #wanted = nothing;
  #unsure: Projection['unsure'];

  constructor(relation: Relation) {
    this.relation = relation;
  }

  /** Asked for at the first change, so that whoever plans has had time to look the relation up. */
  project(projection: (relation: Relation) => Projection | undefined): void {
    if (this.#projected) return;
    const projected = projection(this.relation);
    this.#wanted = projected?.wanted ?? nothing;
    this.#unsure = projected?.unsure;
    this.#projected = true;
  }

  forget(): void {
    this.#projected = false;
  }

  /** Whether the column at `index` is wanted. `slot`: how many wanted ones are before it. */
  wants(slot: number, index: number): boolean {
    return this.#wanted[slot] === index;
  }

  /** What a null in a row means: null, or undefined where it stands for a value that was not sent. Key columns are never null. */
  nullOf(marker: number, index: number): null | undefined {
    return marker === keyOnly || (marker === wholeRow && this.#unsure?.has(index)) ? undefined : null;
  }

  check(count: number, on: { fail(reason: string): never }): void {
    const { columns, schema, name } = this.relation;
    if (count !== columns.length)
      on.fail(`${count} columns, but ${schema}.${name} was described with ${columns.length}`);
  }
}
