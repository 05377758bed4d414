import { plainValue } from './values.ts';

/** What the browser sees of a value, to compare by. Undefined: not known. */
export type Text = string | null | undefined;

/** A row, by the names of its columns. */
export type Values = Readonly<Record<string, unknown>>;

/** What a filter asks for: these columns, ascending, with values of these texts. */
export interface Criterion {
  readonly columns: readonly string[];
  readonly texts: readonly Text[];
}

export function criterion(filter: Values): Criterion {
  const columns = Object.keys(filter).toSorted();
  return { columns, texts: columns.map((column) => textIn(filter, column)) };
}

/** What of a change decides whom it is for: the texts of the filter columns of its watcher. */
export interface Traits {
  readonly now: readonly Text[];
  /** As far as they are known. */
  readonly before: readonly Text[];
}

/** A criterion whose columns are numbered as the texts of the watcher's changes are. */
export interface Wish {
  readonly places: readonly number[];
  readonly texts: readonly Text[];
}

/** The columns of one watcher that somebody has filtered by, in the order in which they came: no more than it declares. */
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

/** Whether a change is meant: by its new values, or those of before. `unknown`: a value that decides it was not sent. */
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

/** Values compare by what the browser sees of them: `42` and `'42'` are the same, uuids in any case, null is null. */
function textOf(value: unknown): Text {
  if (value === null || value === undefined) return value;
  if (typeof value !== 'string') return JSON.stringify(value);
  return value.length === 36 && uuid.test(value) ? value.toLowerCase() : value;
}
