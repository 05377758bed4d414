import type { Tuple, TupleValue } from '../postgres/pgoutput/messages.ts';
import { currentText, type PlannedColumn, type PlannedWatcher, previousText } from '../watchers/plan.ts';
import { type CanonicalForm, canonicalForm } from './canonical.ts';

/**
 * Computes a number (fingerprint) for each value of a change that combined filters use, once for all combinations. With
 * these numbers a `Sieve` rules out most combinations that no subscription wants, without comparing values.
 */
export class Fingerprints {
  readonly #names: string[] = [];
  readonly #canonical: (CanonicalForm | undefined)[] = [];
  #planned: PlannedWatcher | undefined;
  /** By place. Undefined: a filter named the column before it was known that it does not exist. */
  #columns: readonly (PlannedColumn | undefined)[] = [];
  /** Fingerprints of the row after the change, by place. Undefined: the value is not known. */
  readonly now: (number | undefined)[] = [];
  /** Fingerprints of the row before the change. */
  readonly before: (number | undefined)[] = [];

  /** The index of a column's fingerprints. There are never more columns than the watcher declares. */
  place(name: string): number {
    const there = this.#names.indexOf(name);
    if (there !== -1) return there;
    this.#planned = undefined; // the cached columns do not include this one
    return this.#names.push(name) - 1;
  }

  /** Called when a column's type is known. */
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

/** Number of characters that go into a fingerprint: the first, which many texts share, and the last. */
const [first, last] = [8, 24];

/** Different values nearly always have different fingerprints. */
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

/** Combines two numbers; the order matters. */
export function mixed(one: number, other: number): number {
  const product = Math.imul(one ^ other, 0x9e3779b1);
  return product ^ (product >>> 15);
}
