import type { Tuple, TupleValue } from '../postgres/pgoutput/messages.ts';
import { currentText, type PlannedColumn, type PlannedWatcher, previousText } from '../watchers/plan.ts';
import { type CanonicalForm, canonicalForm } from './canonical.ts';

/**
 * A number for each value that a change has in the columns that filters combine. Each is made once, for all combinations:
 * with these numbers a `Sieve` tells of most combinations that nobody wants them, without a look at the values.
 */
export class Fingerprints {
  readonly #names: string[] = [];
  readonly #canonical: (CanonicalForm | undefined)[] = [];
  #planned: PlannedWatcher | undefined;
  /** By place. Undefined: it was filtered by before it was known that there is no such column. */
  #columns: readonly (PlannedColumn | undefined)[] = [];
  /** Of the row after the change, by place. Undefined: the value is not known. */
  readonly now: (number | undefined)[] = [];
  /** Of the row before it. */
  readonly before: (number | undefined)[] = [];

  /** Where the numbers of a column stand. There are never more columns than the watcher declares. */
  place(name: string): number {
    const there = this.#names.indexOf(name);
    if (there !== -1) return there;
    this.#planned = undefined; // it has no place for this column yet
    return this.#names.push(name) - 1;
  }

  /** Called when the type of a column is known. */
  bind(name: string, typeOid: number): void {
    this.#canonical[this.place(name)] = canonicalForm(typeOid);
  }

  read(planned: PlannedWatcher, row: Tuple, old: Tuple | undefined): void {
    if (planned !== this.#planned) {
      this.#columns = this.#names.map((name) => planned.columns.find((column) => column.name === name));
      this.#planned = planned;
    }
    for (let place = 0; place < this.#columns.length; place++) {
      const column = this.#columns[place];
      if (column === undefined) continue;
      const form = this.#canonical[place];
      this.now[place] = printOf(currentText(column, row, old), form);
      if (old !== undefined) this.before[place] = printOf(previousText(column, row, old), form);
    }
  }
}

function printOf(text: TupleValue, form: CanonicalForm | undefined): number | undefined {
  if (text === undefined) return undefined;
  return fingerprint(text === null || form === undefined ? text : form(text));
}

/** Characters of a text that its number is made of: its first, where many texts are the same, and its last. */
const [first, last] = [8, 24];

/** Different values have different numbers, nearly always. */
export function fingerprint(text: string | null): number {
  if (text === null) return -1;
  const { length } = text;
  let print = Math.imul(length + 1, 0x85ebca6b);
  let index = 0;
  if (length > first + last) {
    for (; index < first; index++) print = mixed(print, text.charCodeAt(index));
    index = length - last;
  }
  for (; index < length; index++) print = mixed(print, text.charCodeAt(index));
  return print;
}

/** One number of two. The order makes a difference. */
export function mixed(one: number, other: number): number {
  const product = Math.imul(one ^ other, 0x9e3779b1);
  return product ^ (product >>> 15);
}
