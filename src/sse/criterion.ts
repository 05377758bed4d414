import { joinKey } from '../routing/keys.ts';

/** What a filter asks for: these columns, ascending, with values that have this key. */
export interface Criterion {
  readonly columns: readonly string[];
  readonly key: string;
}

/** A row as the browser sees it. */
export type Values = Readonly<Record<string, unknown>>;

export function criterion(filter: Values): Criterion {
  const columns = Object.keys(filter).toSorted();
  return { columns, key: keyOf(columns, filter)! };
}

/** Undefined when one of the values is not known. */
export function keyOf(columns: readonly string[], values: Values): string | undefined {
  const texts: (string | null)[] = [];
  for (const column of columns) {
    if (!Object.hasOwn(values, column) || values[column] === undefined) return undefined;
    texts.push(textOf(values[column]));
  }
  return joinKey(texts);
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Values compare by what the browser sees of them: `42` and `'42'` are the same, uuids in any case, null is null. */
function textOf(value: unknown): string | null {
  if (value === null) return null;
  if (typeof value !== 'string') return JSON.stringify(value);
  return uuid.test(value) ? value.toLowerCase() : value;
}
