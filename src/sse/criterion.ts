import { plainValue } from './values.ts';

/** A value as the browser sees it, for comparison. Undefined: not known. */
export type Text = string | null | undefined;

/** A row by column name. */
export type Values = Readonly<Record<string, unknown>>;

/** A filter: its columns in ascending order, and the text of the value for each. */
export interface Criterion {
  readonly columns: readonly string[];
  readonly texts: readonly Text[];
}

export function criterion(filter: Values): Criterion {
  const columns = Object.keys(filter).toSorted();
  return { columns, texts: columns.map((column) => textIn(filter, column)) };
}

/** The part of a change that decides which filters match: the texts of the watcher's filter columns. */
export interface Traits {
  readonly now: readonly Text[];
  /** Those that are known. */
  readonly before: readonly Text[];
}

/** A criterion with column numbers instead of names: positions in the `Traits` of the watcher's changes. */
export interface Wish {
  readonly places: readonly number[];
  readonly texts: readonly Text[];
}

/** The columns of one watcher that any client has filtered by, in order of first use. There cannot be more than the watcher declares. */
export class FilterColumns {
  readonly #names: string[] = [];

  wish({ columns, texts }: Criterion): Wish {
    return { places: columns.map((column) => this.#place(column)), texts };
  }

  textsOf(row: Values): readonly Text[] {
    return this.#names.map((column) => textIn(row, column));
  }

  #place(column: string): number {
    const there = this.#names.indexOf(column);
    return there === -1 ? this.#names.push(column) - 1 : there;
  }
}

/** Whether a wish matches the new or the old values of a change. `unknown`: a value that decides it was not sent. */
export function isMeant({ now, before }: Traits, wish: Wish): boolean | 'unknown' {
  const verdict = matches(now, wish);
  if (verdict === true || matches(before, wish) === true) return true;
  return verdict;
}

function matches(texts: readonly Text[], { places, texts: wanted }: Wish): boolean | 'unknown' {
  let verdict: true | 'unknown' = true;
  for (let at = 0; at < places.length; at++) {
    const text = texts[places[at]!];
    if (text === undefined) verdict = 'unknown';
    else if (text !== wanted[at]) return false;
  }
  return verdict;
}

/** A value that was not sent is not enumerable: reading it would throw. */
function textIn(row: Values, column: string): Text {
  return Object.prototype.propertyIsEnumerable.call(row, column) ? textOf(plainValue(row[column])) : undefined;
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Values are compared as the browser sees them: `42` equals `'42'`, UUIDs ignore case, null equals null. */
function textOf(value: unknown): Text {
  if (value === null || value === undefined) return value;
  if (typeof value !== 'string') return JSON.stringify(value);
  return value.length === 36 && uuid.test(value) ? value.toLowerCase() : value;
}
