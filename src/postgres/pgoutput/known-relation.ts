import type { Projection, Relation } from './messages.ts';

/** Marker before a row. 'K': old row, only its key columns. 'O': old row. 'N': new row. */
export const keyOnly = 0x4b;
export const wholeRow = 0x4f;
export const newRow = 0x4e;

const nothing: readonly number[] = Object.freeze([]);

/** A relation that was described, and the columns that are needed of its changes. */
export class KnownRelation {
  readonly relation: Relation;
  #projected = false;
  #wanted = nothing;
  #unsure: Projection['unsure'];

  constructor(relation: Relation) {
    this.relation = relation;
  }

  /** Runs at the first change, when the planner has had time to look the relation up. */
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

  /** Whether the column at `index` is needed. `slot`: the number of needed columns before it. */
  wants(slot: number, index: number): boolean {
    return this.#wanted[slot] === index;
  }

  /** What a null in a row means: null, or undefined if it replaces a value that was not sent. Key columns are never null. */
  nullOf(marker: number, index: number): null | undefined {
    return marker === keyOnly || (marker === wholeRow && this.#unsure?.has(index)) ? undefined : null;
  }

  check(count: number, on: { fail(reason: string): never }): void {
    const { columns, schema, name } = this.relation;
    if (count !== columns.length)
      on.fail(`${count} columns, but ${schema}.${name} was described with ${columns.length}`);
  }
}
